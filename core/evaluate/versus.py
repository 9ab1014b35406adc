"""Several fine-tuned models on the same items: one table, and whether the best one's lead is more than chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from ..reports.markdown import table
from ..runs.record import RunFolder
from .comparison import ALPHA, MIN_ITEMS, PERPLEXITY, Array, Statistic, compare, corrected, statistic_of
from .items import ITEMS, Items, ScoreItems
from .reporting import wording
from .result import ComparedScore, ScoreRow
from .scoring.scores import find

SEED = 42
NO_BASE = "\nWhere no base is shown: the runs had different bases, or a hosted one did not answer alike each time.\n"


@dataclass(frozen=True)
class Versus:
    """The table, typed and as people read it."""

    scores: tuple[ComparedScore, ...]
    markdown: str


@dataclass(frozen=True)
class _Common:
    """One score of all runs on the items that all of them have."""

    first: ScoreItems
    run_ids: tuple[str, ...]
    bases: tuple[Array, ...]
    tuned: tuple[Array, ...]

    @property
    def statistic(self) -> Statistic:
        match self.first.kind:
            case "perplexity":
                return PERPLEXITY
            case "text":
                return find(self.first.metric).statistic
            case _:
                return statistic_of(*self.tuned)


def compare_runs(folders: Sequence[RunFolder]) -> Versus:
    """Every score that all runs have, on the items that all were measured on.

    The best run is tested against the next best on the same items, and p corrected for the number of scores (Holm).

    Raises:
        DataError: A run measured only a base, or the runs have no item in common.
    """
    found, remarks = _common(folders)
    scores = _with_leads(found)
    lines = ["## Fine-tuned models on the same items", _table(scores, found), *remarks]
    return Versus(scores=scores, markdown="\n\n".join(lines) + "\n")


def _common(folders: Sequence[RunFolder]) -> tuple[list[_Common], list[str]]:
    run_ids = tuple(folder.run_id for folder in folders)
    runs = [{(one.name, one.metric): one for one in _items(folder).scores} for folder in folders]
    names = [name for name in runs[0] if all(name in run for run in runs)]
    found, remarks = [], []
    for name in names:
        several = [run[name] for run in runs]
        keys = _shared_keys(several)
        sizes = sorted({len(one.keys) for one in several})
        label = " ".join(name)
        if not keys:
            remarks.append(f"{label}: no item in common, since prompts, references or chat templates differ.")
            continue
        if sizes != [len(keys)]:
            measured = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else str(sizes[0])
            remarks.append(f"{label}: on the {len(keys)} items that all runs have; each measured {measured}.")
        one = _Common(
            several[0],
            run_ids,
            tuple(_rows(one.keys, one.base, keys) for one in several),
            tuple(_rows(one.keys, one.finetuned, keys) for one in several),
        )
        problem = _unfit(one)
        if problem:
            remarks.append(f"{label}: {problem}")
        else:
            found.append(one)
    if not found:
        why = " ".join(remarks) or "They share no score."
        raise DataError(
            f"These runs cannot be compared item by item. {why}", "Evaluate them on the same held-out data."
        )
    return found, remarks


def _items(folder: RunFolder) -> Items:
    try:
        return Items.model_validate_json((folder.path / ITEMS).read_bytes())
    except FileNotFoundError:
        raise DataError(
            f"Run {folder.run_id} kept no items: it measured the base alone, or is of an earlier version.",
            "Evaluate again with finetuned_path and rerun: true.",
        ) from None


def _shared_keys(several: Sequence[ScoreItems]) -> list[str]:
    others = set(several[0].keys).intersection(*(one.keys for one in several[1:]))
    return [key for key in dict.fromkeys(several[0].keys) if key in others]


def _rows(names: Sequence[str], rows: Sequence[tuple[float, ...]], keys: Sequence[str]) -> Array:
    place = dict(zip(names, rows, strict=True))
    return np.asarray([place[key] for key in keys], dtype=np.float64)


def _unfit(one: _Common) -> str:
    """Why these rows cannot stand beside each other; empty when they can."""
    if len({rows.shape for rows in one.tuned}) > 1 or _other_labels(one):
        return "the runs had other labels."
    if one.first.kind == "perplexity" and any((rows[:, 1] != one.tuned[0][:, 1]).any() for rows in one.tuned):
        return "the tokenizers differ, and a perplexity counts by token."
    return ""


def _other_labels(one: _Common) -> bool:
    """Whether the columns of macro F1, one for each label that a run had, stand for other labels in each run."""
    if one.first.metric != "f1" or one.first.kind != "text":
        return False
    places = []
    for rows in one.tuned:
        hits, _, misses = np.split(rows, 3, axis=1)
        places.append((hits + misses).argmax(axis=1))  # the label of each item's reference
    return any((place != places[0]).any() for place in places)


def _with_leads(found: Sequence[_Common]) -> tuple[ComparedScore, ...]:
    rows = [_lead(one) for one in found]
    told = []
    for row, p_value in zip(rows, corrected(rows), strict=True):
        proven = p_value is not None and p_value < ALPHA and row.delta != 0
        told.append(row.model_copy(update={"p_value": p_value, "proven": proven}))
    return tuple(told)


def _lead(one: _Common) -> ComparedScore:
    statistic = one.statistic
    values = [float(statistic.value(rows.sum(axis=0))) for rows in one.tuned]
    order = sorted(range(len(values)), key=values.__getitem__, reverse=one.first.higher_is_better)
    best, following = order[0], order[1]
    lead = compare(statistic, one.tuned[following], one.tuned[best], SEED)
    same_base = all(np.array_equal(rows, one.bases[0]) for rows in one.bases)
    assert lead.delta is not None
    return ComparedScore(
        name=one.first.name,
        metric=one.first.metric,
        n=len(one.tuned[0]),
        base=float(statistic.value(one.bases[0].sum(axis=0))) if same_base else None,
        finetuned=tuple(values),
        best=one.run_ids[best],
        delta=lead.delta,
        ci95=lead.ci95,
        p_value=lead.p_value,
        proven=False,
    )


def _table(scores: Sequence[ComparedScore], found: Sequence[_Common]) -> str:
    run_ids = found[0].run_ids
    header = ("Score", "Items", "Base", *run_ids, "Best", "Lead over the next", "95% interval", "p (Holm)", "Verdict")
    return table(header, map(_cells, scores)) + (
        "\nThe lead is tested on the same items, best against next best; that of perplexity is in per cent, that of a "
        f"share in points. p decides the verdict; the interval, not corrected, tells how large the lead may be.\n"
        f"{NO_BASE if any(row.base is None for row in scores) else ''}{wording.no_interval(scores)}"
    )


def _cells(row: ComparedScore) -> tuple[object, ...]:
    as_row = ScoreRow(
        name=row.name, metric=row.metric, base=min(row.finetuned), finetuned=max(row.finetuned),
        delta=row.delta, ci95=row.ci95, n=row.n,
    )  # fmt: skip
    return (
        f"{row.name}, {wording.label(as_row)}",
        row.n,
        wording.value(as_row, row.base),
        *(wording.value(as_row, value) for value in row.finetuned),
        row.best if row.delta else "alike",
        wording.delta(as_row),
        wording.interval(as_row),
        wording.p_value(row.p_value),
        _verdict(row),
    )


def _verdict(row: ComparedScore) -> str:
    if row.n < MIN_ITEMS:
        return "too few items"
    return f"{row.best} is better" if row.proven else "no evidence of a difference"
