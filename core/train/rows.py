"""From examples to rows of tokens, with the checks that come before any training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..checks import Check
from ..errors import DataError
from ..examples.chat import ChatTokenizer
from ..examples.files import Prepared
from ..examples.mask import NOT_TRAINED, Rendered, Tokenized, render_example, tokenize_rendered
from ..examples.pairs import render_sides, sides
from ..examples.types import Example
from . import row_checks
from .hyperparameters import PREFERENCE, Method


@dataclass(frozen=True, slots=True)
class Row:
    """One example as the trainer sees it; of a preference pair, the chosen answer after its prompt."""

    number: int
    """Its place in the file, counted from 1."""

    input_ids: list[int]
    labels: list[int]

    rejected: "Row | None" = None
    """The pair's other answer after the same prompt; None when this is no pair."""

    mismatched: tuple["Row", ...] = ()
    """For kto: both answers of another pair after this prompt, by which drift from the base is measured."""

    @property
    def parts(self) -> tuple["Row", ...]:
        """All that the model reads of this row: itself, the rejected answer, the mismatched ones."""
        return (self, *([self.rejected] if self.rejected else []), *self.mismatched)


@dataclass(frozen=True, slots=True)
class Rows:
    """The whole data set as tokens, and what was noticed on the way."""

    train: list[Row]
    valid: list[Row]

    max_seq_length: int
    """Tokens after which a row is cut."""

    total_tokens: int
    """Of the training rows, after cutting; of both answers of a pair, with the prompt of each."""

    trained_tokens: int
    """Those of them that have a loss."""

    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """An example as text: of a pair both answers, of any other only itself."""

    number: int
    rendered: tuple[Rendered, ...]


def tokenise(
    prepared: Prepared, tokenizer: ChatTokenizer, method: Method, asked_length: int | None, model_limit: int
) -> Rows:
    """The rows that training uses.

    Args:
        prepared: Examples for training and validation.
        tokenizer: The base model's.
        method: Whether answers are learned (sft), or chosen answers are preferred to rejected ones.
        asked_length: Tokens after which to cut; None: the longest row, at most the model's limit.
        model_limit: Tokens the model can read.

    Raises:
        DataError: The template refuses an example, the method needs pairs and there are none, or no row has a token
            to train.
    """
    sources = _sources(prepared.train, tokenizer, method)
    if not sources:
        raise _no_pairs(method, len(prepared.train))
    whole = _tokenized(sources, tokenizer)
    lengths = [max(len(side.input_ids) for side in row) for row in whole]
    limit = min(asked_length or max(lengths), model_limit)
    train = _cut(sources, whole, tokenizer, limit)
    kept = _rows(sources, train, limit, method)
    if not kept:
        raise _nothing_to_learn(len(train), limit)
    valid_sources = _sources(prepared.valid, tokenizer, method)
    valid = _cut(valid_sources, _tokenized(valid_sources, tokenizer), tokenizer, limit)
    measured = _rows(valid_sources, valid, limit, method)
    learned = [part for row in kept for part in (row, row.rejected) if part]
    numbered, numbered_valid = _numbered(sources, train), _numbered(valid_sources, valid)
    return Rows(
        train=kept,
        valid=measured,
        max_seq_length=limit,
        total_tokens=sum(len(part.input_ids) for part in learned),
        trained_tokens=sum(len(part.labels) - part.labels.count(NOT_TRAINED) for part in learned),
        checks=(
            *row_checks.pair_checks(prepared.train, method, numbered),
            row_checks.trained_check(numbered, {row.number for row in kept}),
            row_checks.truncation_check(numbered, lengths, limit, model_limit),
            row_checks.ending_check(numbered, tokenizer),
            row_checks.validation_check(prepared, numbered_valid, len(measured)),
        ),
    )


def _numbered(sources: Sequence[_Source], rows: Sequence[tuple[Tokenized, ...]]) -> row_checks.Numbered:
    return {source.number: row for source, row in zip(sources, rows, strict=True)}


def _no_pairs(method: Method, rows: int) -> DataError:
    return DataError(
        f"Method {method} learns from pairs of a chosen and a rejected answer, and none of the {rows} training rows "
        "is one.",
        "Prepare data with chosen and rejected answers, or use method sft.",
    )


def _nothing_to_learn(rows: int, limit: int) -> DataError:
    return DataError(
        f"None of the {rows} training rows has a token to learn when cut after {limit} tokens.",
        "Raise hyperparameters.max_seq_length, or check that the rows have assistant answers.",
    )


def _sources(examples: Sequence[Example], tokenizer: ChatTokenizer, method: Method) -> list[_Source]:
    """The examples as text; for a preference method only the pairs."""
    made = []
    for number, example in enumerate(examples, start=1):
        try:
            if method not in PREFERENCE:
                made.append(_Source(number, (render_example(example, tokenizer),)))
            elif (pair := sides(example)) is not None:
                made.append(_Source(number, render_sides(pair, tokenizer)))
        except DataError as error:
            raise DataError(f"Example {number}: {error.problem}", error.next_step) from error
    return made


def _tokenized(sources: Sequence[_Source], tokenizer: ChatTokenizer) -> list[tuple[Tokenized, ...]]:
    """Each source's texts as tokens, whole."""
    sided = iter(tokenize_rendered([text for source in sources for text in source.rendered], tokenizer, None))
    return [tuple(next(sided) for _ in source.rendered) for source in sources]


def _cut(
    sources: Sequence[_Source], whole: Sequence[tuple[Tokenized, ...]], tokenizer: ChatTokenizer, limit: int
) -> list[tuple[Tokenized, ...]]:
    return [
        row
        if all(len(side.input_ids) <= limit for side in row)
        else tuple(tokenize_rendered(source.rendered, tokenizer, limit))
        for source, row in zip(sources, whole, strict=True)
    ]


def _rows(
    sources: Sequence[_Source], tokenized: Sequence[tuple[Tokenized, ...]], limit: int, method: Method
) -> list[Row]:
    """The rows in which every answer has a token to learn, and no pair prefers an answer to itself."""
    rows = []
    for source, found in zip(sources, tokenized, strict=True):
        sided = [_row(source.number, one) for one in found]
        if all(_first_trained(side) is not None for side in sided) and (len(sided) == 1 or sided[0] != sided[1]):
            rows.append(replace(sided[0], rejected=sided[1]) if len(sided) == 2 else sided[0])
    if method != "kto":
        return rows
    others = [*rows[1:], *rows[:1]]
    return [replace(row, mismatched=_mismatched(row, other, limit)) for row, other in zip(rows, others, strict=True)]


def _row(number: int, tokenized: Tokenized) -> Row:
    # the first token has nothing before it to be predicted from
    return Row(number, tokenized.input_ids, [NOT_TRAINED, *tokenized.labels[1:]])


def _first_trained(row: Row) -> int | None:
    return next((place for place, label in enumerate(row.labels) if label != NOT_TRAINED), None)


def _mismatched(row: Row, other: Row, limit: int) -> tuple[Row, ...]:
    """The prompt of one pair with the answers of another; a prompt that leaves no room for them loses its beginning."""
    prompt = row.input_ids[: _first_trained(row)]
    made = []
    for answer in (other, other.rejected or other):
        start = _first_trained(answer)
        ids, labels = answer.input_ids[start:], answer.labels[start:]
        room = limit - len(ids)
        before = prompt[-room:] if room > 0 else []
        made.append(Row(row.number, [*before, *ids], [NOT_TRAINED] * len(before) + labels))
    return tuple(made)
