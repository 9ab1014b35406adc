"""The text scores, against sacrebleu, rouge-score and scikit-learn, and the choice among them."""

import json
import math

import pytest
from faion_finetuner.core.evaluate.comparison import compare
from faion_finetuner.core.evaluate.scoring import text_match
from faion_finetuner.core.evaluate.scoring.choice import choose
from faion_finetuner.core.evaluate.scoring.scores import SCORES
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sklearn.metrics import accuracy_score, f1_score

REFERENCES = ["The cat sat on the mat.", "A quick brown fox jumps.", "Rain fell all day in the old town."]
ANSWERS = ["The cat sat on a mat.", "A slow brown fox jumps high.", "It was sunny."]


def scored(name: str, answers: list[str], references: list[str]) -> float:
    score = SCORES[name]
    return compare(score.statistic, score.rows(answers, references), None, seed=0).base


def test_bleu_and_chrf_are_those_of_sacrebleu():
    assert scored("bleu", ANSWERS, REFERENCES) == pytest.approx(BLEU().corpus_score(ANSWERS, [REFERENCES]).score)
    assert scored("chrf", ANSWERS, REFERENCES) == pytest.approx(CHRF().corpus_score(ANSWERS, [REFERENCES]).score)


def test_rouge_is_one_for_equal_texts_and_zero_for_disjoint_ones():
    assert scored("rougeL", REFERENCES, REFERENCES) == 1
    assert scored("rouge1", ["xyz"], ["the cat"]) == 0
    assert 0 < scored("rouge2", ANSWERS, REFERENCES) < 1


def test_accuracy_and_macro_f1_are_those_of_scikit_learn():
    references = ["spam", "ham", "spam", "eggs", "ham", "spam", "eggs"]
    answers = [" Spam.", "ham", "ham", "eggs", "“Ham”", "I think it is spam", "SPAM"]
    said = [text_match.label(answer) for answer in answers]
    assert scored("accuracy", answers, references) == pytest.approx(accuracy_score(references, said))
    labels = ["eggs", "ham", "spam"]
    macro = f1_score(references, said, labels=labels, average="macro")
    assert scored("f1", answers, references) == pytest.approx(macro)


@pytest.mark.parametrize(
    ("text", "label"), [("C++", "c++"), ("c#.", "c#"), ("**Yes**", "yes"), ("(5%)", "5%"), ("+", "+"), ("...", "...")]
)
def test_a_label_keeps_what_belongs_to_it(text: str, label: str):
    assert text_match.label(text) == label


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("He pays 3 + 4 = 7.", "3+4=<<3+4=7>>7\n#### 7", True),
        ("It costs $1,234.50 in all", "#### 1234.5", True),
        ("#### 8\nor maybe 7", "#### 7", False),
        ("The result is -3", "-3", True),
        ("no idea", "#### 7", False),
        ("5 - 3", "3", True),
        ("81 900 kg", "#### 81,900 kg", True),
        ("12 900 kg", "81 900 kg", False),
        ("It is \u22125", "5", False),
        ("1.234,50 €", "$1,234.5", True),
        ("2,5 kg", "3,5 kg", False),
        ("0,125", "125", False),
        ("40 m2", "99 m2", False),
        ("40 m^{2}", "40 m", True),
        ("3/4", "1/4", False),
        ("1 1/2", "1.5", True),
        ("EUR50", "50", True),
        ("答案是42个", "42", True),
        ("on 11/23/2026", "2026", True),
        ("1, 2, 3", "3", True),
    ],
)
def test_numbers_match_by_value_wherever_they_stand(answer: str, reference: str, right: bool):
    assert scored("number_match", [answer], [reference]) == float(right)


def test_json_is_equal_by_value_and_its_fields_are_counted():
    reference = json.dumps({"name": "Ann", "items": [{"id": 1, "n": 2}], "vip": False})
    same = '{"vip": false, "items": [{"n": 2.0, "id": 1}],\n "name": "Ann"}'
    fenced = f"Sure!\n```json\n{same}\n```"
    wrong = json.dumps({"name": "Bob", "items": [{"id": 1}]})
    answers, references = [same, fenced, wrong, "none"], [reference] * 4
    assert scored("exact_match", answers, references) == 1 / 4
    assert scored("json_valid", answers, references) == 2 / 4
    hits, given, wanted = 4 + 4 + 1 + 0, 4 + 4 + 2 + 0, 4 * 4
    assert scored("json_fields", answers, references) == pytest.approx(2 * hits / (given + wanted))


def test_true_and_1_are_different_json_values():
    assert not text_match.equal('{"a": true}', '{"a": 1}')


def test_words_of_scripts_without_spaces_are_counted_by_their_signs():
    assert scored("token_f1", ["日本の首都は大阪です。"], ["日本の首都は東京です。"]) == pytest.approx(0.8)
    long = [f"人工智能是计算机科学的一个分支它企图了解智能的实质{n}" for n in range(20)]
    found = choose(long, None)
    assert (found.kind, found.scores) == ("text", ("chrf",))
    assert "BLEU is left out" in found.reason
    assert choose(long, ("bleu", "chrf")).unfit == ("bleu",)
    assert choose(["我很好谢谢。", "是。"] * 9, None).kind != "text"


def test_numbers_with_units_are_matched_by_number_when_asked():
    assert choose([f"{n * 1000:,} kg" for n in range(20)], ("number_match",)).scores == ("number_match",)
    assert choose(["kg"] * 5 + ["3 kg"] * 5, ("number_match",)).unfit == ("number_match",)


def test_word_overlap_counts_as_squad_does():
    assert scored("token_f1", ["the Eiffel Tower!", ""], ["Eiffel tower", "Paris"]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("references", "kind", "scores"),
    [
        (['{"a": 1}', '[{"b": 2}]'] * 5, "json", ("exact_match", "json_valid", "json_fields")),
        (["positive", "Negative"] * 6, "labels", ("accuracy", "f1")),
        (["why so\n#### 4", "so\n#### 12"] * 5, "numbers", ("number_match",)),
        ([str(n) for n in range(30)], "numbers", ("number_match",)),
        ([f"name {n}" for n in range(30)], "short text", ("exact_match", "token_f1", "chrf")),
        (
            [f"{n} is a number of this long text" for n in range(9)],
            "text",
            ("bleu", "chrf", "rouge1", "rouge2", "rougeL"),
        ),
        ([f"Это довольно длинный ответ номер {n} на русском" for n in range(9)], "text", ("bleu", "chrf")),
    ],
)
def test_the_scores_fit_the_answers(references: list[str], kind: str, scores: tuple[str, ...]):
    choice = choose(references, None)
    assert (choice.kind, choice.scores, choice.unfit) == (kind, scores, ())
    assert str(len(references)) in choice.reason or "half of the reference answers" in choice.reason


def test_an_asked_score_that_means_nothing_here_is_refused_by_name():
    choice = choose([f"{n} is a number of this long text" for n in range(9)], ("accuracy", "rouge", "perplexity"))
    assert choice.scores == ("rouge1", "rouge2", "rougeL")
    assert choice.unfit == ("accuracy",)


@pytest.mark.parametrize("name", [name for name, score in SCORES.items() if score.of == "text"])
def test_every_score_is_a_finite_number_for_empty_answers(name: str):
    references = ['{"a": 1}', '{"a": 2}', '{"a": 3}']
    assert math.isfinite(scored(name, ["", " ", "\n"], references))
