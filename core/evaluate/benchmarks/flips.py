"""Benchmark items that only one of the models got right, with both answers, beside the logged answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from ... import files
from ...checks import Check

FLIPS = "flips.jsonl"
Row = dict[str, Any]


class Item(NamedTuple):
    """What names an item in both files of answers."""

    task: str
    doc_id: int
    used_filter: str


def samples_path(folder: Path, side: str) -> Path:
    """The file of one model's answers."""
    return folder / f"samples-{side}.jsonl"


def write(folder: Path) -> Check:
    """Compare both models' answers in `folder`, and write the items that flipped to flips.jsonl there."""
    before = {_item(row): row for row in _rows(samples_path(folder, "base"))}
    flips = [
        flip
        for row in _rows(samples_path(folder, "finetuned"))
        if (other := before.get(_item(row))) is not None
        for flip in _flips(other, row)
    ]
    with files.atomic_writer(folder / FLIPS) as file:
        file.writelines(orjson.dumps(flip) + b"\n" for flip in flips)
    gained = sum(flip["flip"] == "gained" for flip in flips)
    details = (
        f"By benchmark and metric, {gained} items were gained and {len(flips) - gained} lost: their questions and both "
        f"answers stand in '{folder / FLIPS}', all answers beside it."
    )
    return Check(name="benchmark_flips", status="pass", details=details, count=len(flips))


def _rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        yield from map(orjson.loads, file)


def _item(row: Row) -> Item:
    return Item(row["task"], row["doc_id"], row["filter"])


def _flips(base: Row, finetuned: Row) -> Iterator[Row]:
    """One for each metric that is right or wrong and changed."""
    for metric in base["metrics"]:
        was, now = base[metric], finetuned[metric]
        if was in (0, 1) and now in (0, 1) and was != now:
            yield {
                "task": base["task"],
                "metric": metric,
                "flip": "gained" if now else "lost",
                "prompt": base["arguments"][0][0],
                "target": _target(base),
                "base": _answer(base, metric),
                "finetuned": _answer(finetuned, metric),
            }


def _is_choice(row: Row) -> bool:
    """Whether the model chose among continuations, each with its log likelihood, rather than wrote."""
    return isinstance(row["filtered_resps"][0], list)


def _target(row: Row) -> Any:
    chosen = row["target"]
    if _is_choice(row) and isinstance(chosen, int) and chosen < len(row["arguments"]):
        return row["arguments"][chosen][1]
    return chosen


def _answer(row: Row, metric: str) -> str:
    """What the model wrote, or the continuation that it holds likeliest by this metric."""
    if not _is_choice(row):
        return str(row["resps"][0][0])
    texts = [argument[1] for argument in row["arguments"]]
    # lm-eval's acc_norm divides by the characters of the choice, which a space stands before
    sizes = [len(text.lstrip()) if metric == "acc_norm" else 1 for text in texts]
    likelihoods = [float(resp[0]) / size for resp, size in zip(row["filtered_resps"], sizes, strict=True)]
    return texts[likelihoods.index(max(likelihoods))]
