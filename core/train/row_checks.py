"""What the rows themselves say, before any training: what is learned, what is cut, what is missing."""

from collections.abc import Callable, Collection, Mapping, Sequence

from ..checks import Check
from ..examples.chat import ChatTokenizer
from ..examples.files import Prepared
from ..examples.fingerprint import fingerprint
from ..examples.mask import Tokenized
from ..examples.types import Example
from .hyperparameters import PREFERENCE, Method

SHOWN_ROWS = 10
FEW_TRAINED = 0.02  # of all tokens; below it most of the work is spent on reading prompts

Numbered = Mapping[int, tuple[Tokenized, ...]]
"""Each row's number in the file, and its tokens; of a preference pair those of both answers."""


def pair_checks(examples: Sequence[Example], method: Method, train: Numbered) -> tuple[Check, ...]:
    """Whether the data is of the kind that the method learns from; nothing when neither side knows pairs."""
    pairs = sum(example.rejected is not None for example in examples)
    name = "Preference pairs"
    if method not in PREFERENCE:
        if not pairs:
            return ()
        details = (
            f"{pairs} of {len(examples)} rows are pairs; sft learns their chosen answers, the rejected are unused."
        )
        return (
            Check(name=name, status="warn", details=details, count=pairs, next_step="Use method dpo, orpo or kto."),
        )
    single = [number for number in range(1, len(examples) + 1) if number not in train]
    equal = [number for number, (chosen, rejected) in train.items() if chosen.input_ids == rejected.input_ids]
    details = f"{len(train)} rows have a chosen and a rejected answer after the same prompt."
    if single:
        details += f" {len(single)} are no pairs and left out: {_named(single)}."
    if equal:
        details += f" In {len(equal)} both answers are the same tokens, so they are left out: {_named(equal)}."
    unusable = len(single) + len(equal)
    next_step = "Give these rows two different answers, or drop them with `prepare`." if unusable else None
    status = "warn" if unusable else "pass"
    return (Check(name=name, status=status, details=details, count=unusable, next_step=next_step),)


def trained_check(train: Numbered, kept: Collection[int]) -> Check:
    """How much of the data has a loss."""
    sides = [side for row in train.values() for side in row]
    tokens = sum(len(side.input_ids) for side in sides)
    trained = sum(side.trained_tokens for side in sides)
    details = f"{trained:,} of {tokens:,} tokens have a loss ({trained / tokens:.1%}): the answers and their end."
    empty = [number for number in _numbers(train, lambda side: side.trained_tokens == 0) if number not in kept]
    if empty:
        details += f" Rows without any are left out: {_named(empty)}."
    next_step = None
    if empty:
        next_step = "Raise max_seq_length, or drop these rows with `prepare`."
    elif trained / tokens < FEW_TRAINED:
        next_step = "Nearly all work goes into reading prompts: shorten them, or check that the answers are whole."
    status = "warn" if next_step else "pass"
    return Check(name="Loss mask", status=status, details=details, count=len(empty), next_step=next_step)


def truncation_check(train: Numbered, lengths: Sequence[int], limit: int, model_limit: int) -> Check:
    """What is lost because rows are cut.

    Args:
        train: The rows, cut.
        lengths: Those of the whole rows, in tokens.
        limit: Tokens after which they are cut.
        model_limit: Tokens the model can read.
    """
    cut = _numbers(train, lambda side: side.lost_tokens > 0)
    if not cut:
        return Check(name="Truncation", status="pass", details=f"No row is longer than {limit:,} tokens.", count=0)
    lost = sum(side.lost_trained_tokens for row in train.values() for side in row)
    enough = sorted(lengths)[min(len(lengths) - 1, int(0.99 * len(lengths)))]
    return Check(
        name="Truncation",
        status="fail" if lost and len(cut) > len(train) / 2 else "warn",
        details=f"{len(cut)} rows are cut after {limit:,} tokens and lose {lost:,} trained tokens, from the end: "
        f"{_named(cut)}.",
        count=len(cut),
        next_step=f"max_seq_length {enough} would keep 99% of the rows whole (longest: {max(lengths):,})."
        if enough <= model_limit
        else f"The model reads {model_limit:,} tokens at most (longest row: {max(lengths):,}): split or drop these "
        "rows, or take a model that reads more.",
    )


def ending_check(train: Numbered, tokenizer: ChatTokenizer) -> Check:
    """Whether the model learns to stop."""
    cut = _numbers(train, _ends_cut)
    if cut:
        return Check(
            name="End of turn",
            status="fail" if len(cut) > len(train) / 2 else "warn",
            details=f"In {len(cut)} of {len(train)} rows the last answer is cut before its end, so they teach to go on "
            f"where an answer should stop: {_named(cut)}.",
            count=len(cut),
            next_step="Keep these rows whole (see Truncation), or drop them with `prepare`.",
        )
    unended = len(_numbers(train, lambda side: side.unended_turns > 0))
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


def validation_check(prepared: Prepared, valid: Numbered, measured: int) -> Check:
    """Whether there are validation rows, whole, and none that is trained on too.

    Args:
        prepared: The examples of both files.
        valid: The validation rows, cut as those of training are.
        measured: How many of them have a loss.
    """
    name = "Validation data"
    if not prepared.valid:
        return Check(
            name=name,
            status="warn",
            details="There are no validation rows: overfitting cannot be seen, and the last checkpoint counts as best.",
            next_step="Let `prepare` split the data (valid_fraction), and give its output_dir as data_path.",
        )
    lost = _lost_validation(len(prepared.valid), len(_numbers(valid, _ends_cut)), measured)
    if lost:
        return Check(
            name=name,
            status="warn",
            details=lost,
            count=len(prepared.valid) - measured,
            next_step="Raise max_seq_length, or split the data with `prepare`: both files should hold the same kind of "
            "rows.",
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


def _lost_validation(rows: int, cut: int, measured: int) -> str:
    """What of the validation rows is not measured, in words; empty when nothing is lost."""
    if not measured:
        return (
            f"None of the {rows} validation rows has a token to learn as method and length leave it: overfitting "
            "cannot be seen, and the last checkpoint counts as best."
        )
    lost = [f"{rows - measured} are left out, with no token to learn"] if measured < rows else []
    lost += [f"{cut} lose the end of their answer where they are cut"] if cut else []
    return f"Of {rows} validation rows {' and '.join(lost)}; the validation loss is of what is left." if lost else ""


def _ends_cut(side: Tokenized) -> bool:
    return side.lost_trained_tokens > 0 and side.trained_tokens > 0


def _numbers(train: Numbered, wanted: Callable[[Tokenized], bool]) -> list[int]:
    return [number for number, row in train.items() if any(wanted(side) for side in row)]


def _named(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - SHOWN_ROWS} more" if len(numbers) > SHOWN_ROWS else ""
    return f"row{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:SHOWN_ROWS]))}{more}"
