"""Text scores: an answer against its reference, as item rows that `comparison` can pair and resample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from .. import scorers
from ..comparison import MEAN, SHARE, Array, Statistic, rows_of
from . import call_match, text_match
from .final_number import final_number

Texts = Sequence[str]
Of = Literal["text", "calls", "no calls", "tools"]
"""Rows by their reference: a text; calls of tools; none of the tools that there are; either of the last two.

A score of text gets both texts, each other score both as the JSON list of calls that `Called.as_json` writes.
"""


@dataclass(frozen=True)
class Score:
    """One number to tell how well answers agree with references."""

    label: str
    """As reports print it."""
    rows: Callable[[Texts, Texts], Array]
    """From answers and references, in the same order, to item rows."""
    statistic: Statistic
    of: Of = "text"
    """The rows that it is computed on."""
    form_alone: bool = False
    """Whether a useless answer may pass, so that a gain in it makes no model better."""


SCORES: dict[str, Score] = {}
"""Every text score by name, in the order in which reports show them; those of other packages once asked for."""


def find(name: str) -> Score:
    """The score of this name, here or from another package.

    Raises:
        InputError: There is none, or it cannot be imported.
    """
    if name not in SCORES:
        found = scorers.load(name)
        shape = SHARE if found.right_or_wrong else MEAN
        statistic = replace(shape, higher_is_better=found.higher_is_better)
        SCORES[name] = Score(found.label, partial(_each, found), statistic, "tools" if found.tool_calls else "text")
    return SCORES[name]


def _each(function: Callable[[str, str], float], answers: Texts, references: Texts) -> Array:
    return rows_of([function(a, r) for a, r in zip(answers, references, strict=True)])


def score(
    name: str, label: str, statistic: Statistic, of: Of = "text", *, form_alone: bool = False
) -> Callable[..., Callable[[Texts, Texts], Array]]:
    """Register the decorated function, which makes item rows, as a score."""

    def register(rows: Callable[[Texts, Texts], Array]) -> Callable[[Texts, Texts], Array]:
        SCORES[name] = Score(label, rows, statistic, of, form_alone)
        return rows

    return register


def _share(test: Callable[[str, str], bool], answers: Texts, references: Texts) -> Array:
    return rows_of([float(test(a, r)) for a, r in zip(answers, references, strict=True)])


@score("accuracy", "Accuracy", SHARE)
def accuracy(answers: Texts, references: Texts) -> Array:
    """1 where the answer names the reference's label; case and outer punctuation do not count."""
    return _share(lambda a, r: text_match.label(a) == text_match.label(r), answers, references)


def _macro_f1(sums: Array) -> Array:
    true_positives, wrongly_named, missed = np.split(sums, 3, axis=-1)
    occurrences = 2 * true_positives + wrongly_named + missed
    with np.errstate(invalid="ignore", divide="ignore"):
        per_label = np.where(occurrences > 0, 2 * true_positives / occurrences, np.nan)
    # a label that a resample happens to lack does not count in it
    present = np.isfinite(per_label)
    return np.where(present, per_label, 0).sum(axis=-1) / np.maximum(1, present.sum(axis=-1))


@score("f1", "Macro F1", Statistic(value=_macro_f1))
def macro_f1(answers: Texts, references: Texts) -> Array:
    """Per label of the references: hits, wrong namings, misses. An answer that is no label is a miss."""
    labels = sorted({text_match.label(reference) for reference in references})
    index = {label: position for position, label in enumerate(labels)}
    rows = np.zeros((len(references), 3, len(labels)))
    for row, answer, reference in zip(rows, answers, references, strict=True):
        said, right = index.get(text_match.label(answer)), index[text_match.label(reference)]
        if said == right:
            row[0, right] = 1
            continue
        row[2, right] = 1
        if said is not None:
            row[1, said] = 1
    return rows.reshape(len(references), -1)


@score("exact_match", "Exact match", SHARE)
def exact_match(answers: Texts, references: Texts) -> Array:
    """1 where the texts are equal but for white space; JSON is equal when its values are."""
    return _share(text_match.equal, answers, references)


@score("number_match", "Number match", SHARE)
def number_match(answers: Texts, references: Texts) -> Array:
    """1 where the final number of the answer equals that of the reference; see `final_number`."""

    def same(answer: str, reference: str) -> bool:
        number = final_number(answer)
        return number is not None and number == final_number(reference)

    return _share(same, answers, references)


@score("json_valid", "Valid JSON", SHARE, form_alone=True)
def json_valid(answers: Texts, references: Texts) -> Array:
    """1 where the whole answer is one JSON object or array and nothing else."""
    return _share(lambda a, _: text_match.as_json(a) is not None, answers, references)


MICRO_F1 = Statistic(value=lambda sums: 2 * sums[..., 0] / (sums[..., 1] + sums[..., 2]))
"""Of rows (in common, in the answer, in the reference)."""
FEWER_IS_BETTER = replace(SHARE, higher_is_better=False)


@score("json_fields", "JSON fields F1", MICRO_F1)
def json_fields(answers: Texts, references: Texts) -> Array:
    """Fields (path and value) in common, in the answer, in the reference: micro-averaged F1.

    JSON inside a code fence or other text still counts here; `json_valid` is the strict one.
    """
    rows = []
    for answer, reference in zip(answers, references, strict=True):
        given = text_match.json_leaves(text_match.embedded_json(answer))
        wanted = text_match.json_leaves(text_match.embedded_json(reference))
        rows.append(((given & wanted).total(), given.total(), wanted.total()))
    return np.asarray(rows, dtype=np.float64)


@score("tool_match", "Tool calls right", SHARE, "calls")
def tool_match(answers: Texts, references: Texts) -> Array:
    """1 where just the expected calls are made, with arguments equal as JSON, in any order.

    As BFCL matches calls (Patil et al. 2025); of texts it forgives case and punctuation, this white space alone.
    """
    return _share(call_match.right, answers, references)


@score("tool_name", "Tool names right", SHARE, "calls")
def tool_name(answers: Texts, references: Texts) -> Array:
    """1 where just the expected tools are called, whatever the arguments."""
    return _share(call_match.names_right, answers, references)


@score("tool_arguments", "Tool arguments F1", MICRO_F1, "calls")
def tool_arguments(answers: Texts, references: Texts) -> Array:
    """Arguments (tool, path and value) in common, in the answer, in the reference: micro-averaged F1."""
    counts = [call_match.argument_counts(a, r) for a, r in zip(answers, references, strict=True)]
    return np.asarray(counts, dtype=np.float64)


@score("tool_missed", "Tool calls missed", FEWER_IS_BETTER, "calls", form_alone=True)
def tool_missed(answers: Texts, references: Texts) -> Array:
    """1 where no call is made, though one is expected."""
    return _share(lambda a, _: not call_match.calls(a), answers, references)


@score("tool_overcall", "Needless tool calls", FEWER_IS_BETTER, "no calls")
def tool_overcall(answers: Texts, references: Texts) -> Array:
    """1 where a call is made or begun, though the reference answers without; BFCL's irrelevance, turned round."""
    return _share(lambda a, _: bool(call_match.calls(a)), answers, references)


@score("token_f1", "Token F1", MEAN)
def token_f1(answers: Texts, references: Texts) -> Array:
    """Overlap of words as SQuAD counts it, 0 to 1, mean over items."""
    return rows_of([text_match.word_overlap_f1(a, r) for a, r in zip(answers, references, strict=True)])


def _sacrebleu(metric: Any) -> tuple[Callable[[Texts, Texts], Array], Statistic]:
    """Rows and statistic of a sacrebleu corpus metric; its own paired tests resample the same rows."""

    def rows(answers: Texts, references: Texts) -> Array:
        return np.asarray(metric()._extract_corpus_statistics(list(answers), [list(references)]), dtype=np.float64)

    def value(sums: Array) -> Array:
        instance = metric()
        flat = sums.reshape(-1, sums.shape[-1])
        scores = [instance._compute_score_from_stats([round(cell) for cell in row]).score for row in flat]
        return np.asarray(scores).reshape(sums.shape[:-1])

    return rows, Statistic(value=value)


def _bleu() -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(force=True)  # no warning about text that ends in " ."


def _chrf() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


def _register_sacrebleu(name: str, label: str, metric: Callable[[], Any]) -> None:
    rows, statistic = _sacrebleu(metric)
    SCORES[name] = Score(label, rows, statistic)


_register_sacrebleu("bleu", "BLEU (0-100)", _bleu)
_register_sacrebleu("chrf", "chrF (0-100)", _chrf)


def _rouge(kind: str) -> Callable[[Texts, Texts], Array]:
    def rows(answers: Texts, references: Texts) -> Array:
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer([kind], use_stemmer=True)
        return rows_of([scorer.score(r, a)[kind].fmeasure for a, r in zip(answers, references, strict=True)])

    return rows


SCORES["rouge1"] = Score("ROUGE-1", _rouge("rouge1"), MEAN)
SCORES["rouge2"] = Score("ROUGE-2", _rouge("rouge2"), MEAN)
SCORES["rougeL"] = Score("ROUGE-L", _rouge("rougeL"), MEAN)
