"""From examples to rows of tokens, with the checks that come before any training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..checks import Check
from ..errors import DataError
from ..examples.chat import ChatTokenizer
from ..examples.files import Prepared
from ..examples.fingerprint import fingerprint
from ..examples.mask import NOT_TRAINED, Tokenized, tokenize, tokenize_many
from ..examples.types import Example

SHOWN_ROWS = 10
FEW_TRAINED = 0.02  # of all tokens; below it most of the work is spent on reading prompts


@dataclass(frozen=True, slots=True)
class Row:
    """One example as the trainer sees it."""

    number: int
    """Its place in the file, counted from 1."""

    input_ids: list[int]
    labels: list[int]


@dataclass(frozen=True, slots=True)
class Rows:
    """The whole data set as tokens, and what was noticed on the way."""

    train: list[Row]
    valid: list[Row]

    max_seq_length: int
    """Tokens after which a row is cut."""

    total_tokens: int
    """Of the training rows, after cutting."""

    trained_tokens: int
    """Those of them that have a loss."""

    checks: tuple[Check, ...]


def tokenise(prepared: Prepared, tokenizer: ChatTokenizer, asked_length: int | None, model_limit: int) -> Rows:
    """The rows that training uses.

    Args:
        prepared: Examples for training and validation.
        tokenizer: The base model's.
        asked_length: Tokens after which to cut; None: the longest row, at most the model's limit.
        model_limit: Tokens the model can read.

    Raises:
        DataError: The template refuses an example, or no row has a token to train.
    """
    whole = tokenize_many(prepared.train, tokenizer, None)
    limit = min(asked_length or max(len(row.input_ids) for row in whole), model_limit)
    train = _cut(prepared.train, whole, tokenizer, limit)
    valid = _cut(prepared.valid, tokenize_many(prepared.valid, tokenizer, None), tokenizer, limit)
    kept = _rows(train)
    if not kept:
        raise DataError(
            f"None of the {len(train)} training rows has a token to learn when cut after {limit} tokens.",
            "Raise hyperparameters.max_seq_length, or check that the rows have assistant answers.",
        )
    checks = (
        _trained_check(train, len(train) - len(kept)),
        _truncation_check(train, [len(row.input_ids) for row in whole], limit),
        _ending_check(train, tokenizer),
        _validation_check(prepared),
    )
    return Rows(
        train=kept,
        valid=_rows(valid),
        max_seq_length=limit,
        total_tokens=sum(len(row.input_ids) for row in kept),
        trained_tokens=sum(len(row.labels) - row.labels.count(NOT_TRAINED) for row in kept),
        checks=checks,
    )


def _cut(
    examples: Sequence[Example], whole: Sequence[Tokenized], tokenizer: ChatTokenizer, limit: int
) -> list[Tokenized]:
    return [
        row if len(row.input_ids) <= limit else tokenize(example, tokenizer, limit)
        for example, row in zip(examples, whole, strict=True)
    ]


def _rows(tokenized: Sequence[Tokenized]) -> list[Row]:
    # the first token has nothing before it to be predicted from
    made = (Row(n, row.input_ids, [NOT_TRAINED, *row.labels[1:]]) for n, row in enumerate(tokenized, start=1))
    return [row for row in made if any(label != NOT_TRAINED for label in row.labels)]


def _trained_check(train: Sequence[Tokenized], dropped: int) -> Check:
    tokens = sum(len(row.input_ids) for row in train)
    trained = sum(row.trained_tokens for row in train)
    details = f"{trained:,} of {tokens:,} tokens have a loss ({trained / tokens:.1%}): the answers and their end."
    if dropped:
        details += f" {dropped} have none and are left out: {_numbers(train, lambda row: row.trained_tokens == 0)}."
    few = trained / tokens < FEW_TRAINED
    return Check(
        name="Loss mask",
        status="warn" if dropped or few else "pass",
        details=details,
        count=dropped,
        next_step="Raise max_seq_length, or drop these rows with `prepare`." if dropped else None,
    )


def _truncation_check(train: Sequence[Tokenized], lengths: Sequence[int], limit: int) -> Check:
    cut = [row for row in train if row.lost_tokens]
    if not cut:
        return Check(name="Truncation", status="pass", details=f"No row is longer than {limit:,} tokens.", count=0)
    lost = sum(row.lost_trained_tokens for row in cut)
    enough = sorted(lengths)[min(len(lengths) - 1, int(0.99 * len(lengths)))]
    return Check(
        name="Truncation",
        status="fail" if lost and len(cut) > len(train) / 2 else "warn",
        details=f"{len(cut)} rows are cut after {limit:,} tokens and lose {lost:,} trained tokens, from the end: "
        f"{_numbers(train, lambda row: row.lost_tokens > 0)}.",
        count=len(cut),
        next_step=f"max_seq_length {enough} would keep 99% of the rows whole (longest: {max(lengths):,}).",
    )


def _ending_check(train: Sequence[Tokenized], tokenizer: ChatTokenizer) -> Check:
    unended = sum(row.unended_turns > 0 for row in train)
    if unended:
        return Check(
            name="End of turn",
            status="warn",
            details=f"In {unended} rows no end-of-turn token is trained, so the model may not learn to stop.",
            count=unended,
            next_step="Use a model whose chat template ends each answer with its end-of-turn token.",
        )
    if tokenizer.template_is_default:
        return Check(
            name="End of turn",
            status="warn",
            details="The model has no chat template; a plain ChatML one is trained and saved with the result.",
            next_step="Serve the result with the chat template that lies beside it, or start from an instruct model.",
        )
    return Check(name="End of turn", status="pass", details="Each answer's end-of-turn token is trained.", count=0)


def _validation_check(prepared: Prepared) -> Check:
    name = "Validation data"
    if not prepared.valid:
        return Check(
            name=name,
            status="warn",
            details="There are no validation rows: overfitting cannot be seen, and the last checkpoint counts as best.",
            next_step="Let `prepare` split the data (valid_fraction), and give its output_dir as data_path.",
        )
    seen = {fingerprint(example) for example in prepared.train}
    leaked = sum(fingerprint(example) in seen for example in prepared.valid)
    if leaked:
        return Check(
            name=name,
            status="warn",
            details=f"{leaked} of {len(prepared.valid)} validation rows are training rows too, so their loss flatters.",
            count=leaked,
            next_step="Let `prepare` split the data; it keeps equal rows on one side.",
        )
    details = f"{len(prepared.valid)} rows, none of which is also a training row."
    return Check(name=name, status="pass", details=details, count=0)


def _numbers(rows: Sequence[Tokenized], wanted: Callable[[Tokenized], bool]) -> str:
    found = [str(number) for number, row in enumerate(rows, start=1) if wanted(row)]
    more = f" and {len(found) - SHOWN_ROWS} more" if len(found) > SHOWN_ROWS else ""
    return f"row{'s' if len(found) > 1 else ''} {', '.join(found[:SHOWN_ROWS])}{more}"
