"""What both models are asked: the held-out rows as tokens, prompts and references, the same for both."""

import math
import random
from dataclasses import dataclass
from pathlib import Path

from ..checks import Check, CheckStatus
from ..errors import DataError
from ..examples.chat import ChatTokenizer
from ..examples.files import read_examples
from ..examples.fingerprint import fingerprint, prompt_fingerprint
from ..examples.mask import Tokenized, tokenize_many
from ..examples.types import Example, answer_of
from ..models.source import local_path, read_config, resolve_model
from ..settings import Settings
from .choice import Choice, choose
from .request import EvaluateRequest

MAX_NEW_TOKENS = 1_024
ROOM = 1.2  # an answer may be that much longer than the longest reference ...
LEAK_SHARE = 0.05  # of the rows; fewer cannot carry a result
SPARE_TOKENS = 16  # ... and some more, before it is cut


@dataclass(frozen=True)
class Subject:
    """The held-out rows, ready to be measured."""

    base_path: Path
    tokenizer: ChatTokenizer
    examples: tuple[Example, ...]
    tokenized: tuple[Tokenized, ...]
    prompts: tuple[str, ...]
    references: tuple[str, ...]
    choice: Choice
    asked: tuple[int, ...]
    """Positions of the rows whose answers are generated."""
    shown: tuple[int, ...]
    """Positions among `asked` that the report shows."""
    max_new_tokens: int
    checks: tuple[Check, ...]


def read_subject(request: EvaluateRequest, settings: Settings) -> Subject:
    """The rows to measure.

    Raises:
        DataError: The file has no row with an answer that fits into the model's context.
        ModelError: The base model or a tokenizer cannot be read.
    """
    base_path = local_path(resolve_model(request.model_name, settings), settings)
    tokenizer, prompt_check = _tokenizer(base_path, request.finetuned_path)
    found = read_examples(request.data_path)
    choice = choose([answer_of(example) for example in found], request.metrics)
    drawn = _draw(len(found), request.limit, request.seed)
    tokenized = tokenize_many([found[i] for i in drawn], tokenizer, None)
    context = read_config(base_path).get("max_position_embeddings")
    usable = [
        (found[i], tokens)
        for i, tokens in zip(drawn, tokenized, strict=True)
        if tokens.trained_tokens and (not isinstance(context, int) or len(tokens.input_ids) <= context)
    ]
    if not usable:
        raise DataError(
            f"None of the {len(drawn)} rows has an answer that fits into the model's context of {context} tokens.",
            "Give held-out rows with answers, such as the valid.jsonl that prepare wrote.",
        )
    examples = tuple(example for example, _ in usable)
    references = tuple(answer_of(example) for example in examples)
    wanted = max(request.samples, request.judge_pairs if request.judge != "none" else 0)
    asked = range(len(examples)) if choice.scores else range(min(wanted, len(examples)))
    checks = (
        *prompt_check,
        _rows_check(len(found), len(drawn), len(usable)),
        *(_leak_checks(examples, request.data_path) if request.finetuned_path else ()),
        *_unfit_check(choice),
    )
    return Subject(
        base_path=base_path,
        tokenizer=tokenizer,
        examples=examples,
        tokenized=tuple(tokens for _, tokens in usable),
        prompts=tuple(tokenizer.prompt(example) for example in examples),
        references=references,
        choice=choice,
        asked=tuple(asked),
        shown=tuple(_draw(len(asked), request.samples, request.seed)),
        max_new_tokens=_answer_limit(tokenizer, references),
        checks=checks,
    )


def _draw(n: int, limit: int | None, seed: int) -> list[int]:
    """All positions, or `limit` random ones, in their order."""
    if limit is None or limit >= n:
        return list(range(n))
    return sorted(random.Random(seed).sample(range(n), limit))


def _answer_limit(tokenizer: ChatTokenizer, references: tuple[str, ...]) -> int:
    longest = max(tokenizer.count_many(references))
    return min(MAX_NEW_TOKENS, math.ceil(longest * ROOM) + SPARE_TOKENS)


def _tokenizer(base_path: Path, finetuned_path: Path | None) -> tuple[ChatTokenizer, tuple[Check, ...]]:
    """The one tokenizer for both models, and whether the fine-tuned one brought another."""
    base = ChatTokenizer.load(base_path)
    if finetuned_path is None or not (finetuned_path / "tokenizer.json").is_file():
        return base, ()
    own = ChatTokenizer.load(finetuned_path)
    if base.template_is_default and not own.template_is_default:
        return own, (_prompts("pass", "The base has no chat template; both were asked with the fine-tuned one's."),)
    if own.vocabulary_size != base.vocabulary_size:
        details = f"The tokenizers have {base.vocabulary_size} tokens (base) and {own.vocabulary_size} (fine-tuned)."
        return base, (_prompts("warn", details + " Both were asked with the base's."),)
    if own.template != base.template:
        details = "The fine-tuned model's folder has another chat template; both were asked with the base's."
        return base, (_prompts("warn", details),)
    return base, (_prompts("pass", "Both were asked with the same tokenizer and chat template."),)


def _prompts(status: CheckStatus, details: str) -> Check:
    next_step = "If the model was trained with that template, put it into the base's folder and evaluate again."
    if status == "pass":
        return Check(name="same_prompts", status="pass", details=details)
    return Check(name="same_prompts", status="warn", details=details, next_step=next_step)


def _rows_check(found: int, drawn: int, usable: int) -> Check:
    left_out = drawn - usable
    details = f"{usable} of {found} rows measured"
    if drawn < found:
        details += f", drawn at random (limit {drawn})"
    if not left_out:
        return Check(name="rows", status="pass", details=details + ".", count=usable)
    return Check(
        name="rows",
        status="warn",
        details=f"{details}; {left_out} left out: no answer, or longer than the model's context.",
        count=left_out,
        next_step="Shorten or drop those rows with prepare's max_length.",
    )


def _leak_checks(examples: tuple[Example, ...], data_path: Path) -> tuple[Check, ...]:
    """Whether held-out rows stand in the training data that lies beside them."""
    train_path = data_path.parent / "train.jsonl"
    if data_path == train_path:
        details = "These are the training rows themselves: the scores show memory, not ability."
        return (
            Check(name="held_out", status="fail", details=details, next_step="Measure on rows that were held out."),
        )
    if not train_path.is_file():
        details = "Not checked: no train.jsonl lies beside the held-out file."
        next_step = "Give prepare's output_dir as data_path, so that overlap with the training rows is found."
        return (Check(name="held_out", status="warn", details=details, next_step=next_step),)
    train = read_examples(train_path)
    rows, prompts = {fingerprint(example) for example in train}, {prompt_fingerprint(example) for example in train}
    same = sum(fingerprint(example) in rows for example in examples)
    asked = sum(prompt_fingerprint(example) in prompts for example in examples)
    if not asked:
        details = f"None of the {len(examples)} held-out rows stands in train.jsonl."
        return (Check(name="held_out", status="pass", details=details, count=0),)
    details = f"Of {len(examples)} held-out rows, {same} stand in train.jsonl, and {asked} ask a question that does."
    return (
        Check(
            name="held_out",
            status="fail" if same > LEAK_SHARE * len(examples) else "warn",
            details=details,
            count=asked,
            next_step="Run prepare again with dedup: near, train on the new split, and evaluate on its valid.jsonl.",
        ),
    )


def _unfit_check(choice: Choice) -> tuple[Check, ...]:
    if not choice.unfit:
        return ()
    return (
        Check(
            name="metrics",
            status="warn",
            details=f"Not computed: {', '.join(choice.unfit)}. They mean nothing here: {choice.reason}.",
            count=len(choice.unfit),
            next_step="Leave metrics out to get those that fit.",
        ),
    )
