"""What lies behind the means: loss by the length of answers, and which label was taken for which."""

from collections.abc import Sequence

import numpy as np

from ...untrusted import clean
from ..local.likelihood import ItemLikelihood
from ..measured import Measured
from ..result import Breakdown, Confusion, LengthBin
from ..scoring import text_match
from ..subject import Subject
from . import overfitting

BINS = 5
ITEMS_A_BIN = 4  # on average, at least; a mean of fewer says nothing
LABEL_CHARACTERS = 40


def of(subject: Subject, base: Measured, finetuned: Measured | None, seed: int) -> Breakdown:
    """All breakdowns, as far as the data has them."""
    labelled = subject.choice.kind == "labels" and subject.choice.scores
    return Breakdown(
        by_length=by_length(base.likelihoods, finetuned.likelihoods if finetuned else None),
        training=overfitting.fit(base, finetuned, seed),
        confusion=_confusion(subject, base, finetuned) if labelled else None,
    )


def by_length(base: Sequence[ItemLikelihood], finetuned: Sequence[ItemLikelihood] | None) -> tuple[LengthBin, ...]:
    """Mean loss a token (nats) in at most five ranges of answer length with about as many rows each."""
    if not all(item.finite for item in (*base, *(finetuned or ()))):
        return ()
    lengths = np.asarray([item.answer_tokens for item in base])
    count = min(BINS, len(lengths) // ITEMS_A_BIN)
    if not count:
        return ()
    ends = np.unique(np.quantile(lengths, np.linspace(0, 1, count + 1)[1:], method="lower"))
    place = np.searchsorted(ends, lengths)
    return tuple(
        LengthBin(
            tokens_from=int(lengths[place == bin].min()),
            tokens_to=int(lengths[place == bin].max()),
            n=int((place == bin).sum()),
            base=_loss(base, place == bin),
            finetuned=_loss(finetuned, place == bin) if finetuned else None,
        )
        for bin in np.unique(place)
    )


def _loss(items: Sequence[ItemLikelihood], chosen: np.ndarray) -> float:
    inside = [item for item, within in zip(items, chosen, strict=True) if within]
    return sum(item.answer_nll for item in inside) / sum(item.answer_tokens for item in inside)


def _confusion(subject: Subject, base: Measured, finetuned: Measured | None) -> Confusion:
    right = [text_match.label(subject.references[i]) for i in subject.asked]
    labels = sorted(set(right))
    spelled = text_match.spelled(subject.references[i] for i in subject.asked)

    def counts(one: Measured) -> tuple[tuple[int, ...], ...]:
        table = np.zeros((len(labels), len(labels) + 1), dtype=int)
        for reference, answer in zip(right, one.answers, strict=True):
            said = text_match.label(answer.text)
            table[labels.index(reference), labels.index(said) if said in labels else -1] += 1
        return tuple(map(tuple, table.tolist()))

    return Confusion(
        labels=tuple(clean(spelled[label], LABEL_CHARACTERS) for label in labels),
        base=counts(base),
        finetuned=counts(finetuned) if finetuned else None,
    )
