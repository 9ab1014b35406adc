"""The held-out rows as tokens, for models that run on this machine."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from ...checks import Check, CheckStatus
from ...errors import DataError
from ...examples.chat import ChatTokenizer, tools_of
from ...examples.mask import NOT_TRAINED, Tokenized, tokenize_many
from ...examples.types import CompletionExample, Example, answer_of, prompt_of
from ...models.source import local_path, read_config, resolve_model
from ...settings import Settings
from ...untrusted import quote
from .. import call_reader, training_rows
from ..expected_calls import questions_of, reference_of
from ..request import EvaluateRequest, is_adapter
from ..subject import Subject, draw_rows, subject_of


@dataclass(frozen=True)
class LocalSubject:
    """The rows, and how the models here read them."""

    subject: Subject
    base_path: Path
    tokenizer: ChatTokenizer
    tokenized: tuple[Tokenized, ...]
    """Each row in `subject.examples`."""
    training: tuple[Tokenized, ...]
    """Some rows that the fine-tuned model was trained on."""
    checks: tuple[Check, ...]
    """Whether both models are asked in the same words."""
    finetuned_path: Path | None

    def digest(self, *, finetuned: bool) -> str:
        """Of what is measured, by its files' sizes and times, and of what it is measured on."""
        models = [self.base_path, *([self.finetuned_path] if finetuned and self.finetuned_path else [])]
        found = [file for model in models for file in (sorted(model.iterdir()) if model.is_dir() else [model])]
        stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in found]
        rows = [(one.input_ids, one.labels) for one in (*self.tokenized, *self.training)]
        asked = [self.subject.prompts[row] for row in self.subject.asked]
        return hashlib.sha256(orjson.dumps([stats, rows, asked, self.subject.max_new_tokens])).hexdigest()[:16]


def read_local(request: EvaluateRequest, settings: Settings) -> LocalSubject:
    """The rows to measure.

    Raises:
        DataError: The file has no row with an answer.
        ModelError: The base model or a tokenizer cannot be read.
    """
    base_path = local_path(resolve_model(request.model_name, settings), settings)
    tokenizer, checks = _tokenizer(base_path, request.finetuned_path)
    checks += _other_base(request, base_path)
    drawn = draw_rows(request)
    tokenized = tokenize_many(list(drawn.examples), tokenizer, None)
    usable = [(one, tokens) for one, tokens in zip(drawn.examples, tokenized, strict=True) if tokens.trained_tokens]
    if not usable:
        raise DataError(
            f"None of the {len(tokenized)} rows has an answer.",
            "Give held-out rows with answers, such as the valid.jsonl that prepare wrote.",
        )
    examples = [example for example, _ in usable]
    questions = questions_of(examples)
    prompts = [tokenizer.prompt(question) for question in questions]
    trained = training_rows.sample(drawn.training.examples, len(examples), request.seed)
    answers = [_written(*one, tokenizer) for one in zip(questions, prompts, strict=True)]
    longest = max(tokenizer.count_many(answers))
    subject = subject_of(request, drawn, examples, prompts, longest, _room(base_path, tokenizer, prompts))
    answer_bytes = tuple(_answer_bytes(tokens, tokenizer) for _, tokens in usable)
    reader = call_reader.learn(tokenizer) if subject.expected else subject.reader
    if subject.expected:
        checks += call_reader.read_back(reader, subject.expected, prompts, answers, tokenizer)
    return LocalSubject(
        subject=replace(subject, answer_bytes=answer_bytes, reader=reader),
        base_path=base_path,
        tokenizer=tokenizer,
        tokenized=tuple(tokens for _, tokens in usable),
        training=tuple(one for one in tokenize_many(trained, tokenizer, None) if one.trained_tokens),
        checks=checks,
        finetuned_path=request.finetuned_path,
    )


def _written(question: Example, prompt: str, tokenizer: ChatTokenizer) -> str:
    """The last answer as the model is to write it: its text, or with tool calls what the template makes of both."""
    text = answer_of(question)
    if isinstance(question, CompletionExample) or reference_of(question) == text:
        return text
    upto = question.messages[: len(prompt_of(question)) + 1]
    return tokenizer.render(upto, tools=tools_of(question))[len(prompt) :]


def _answer_bytes(tokens: Tokenized, tokenizer: ChatTokenizer) -> int:
    return len(tokenizer.decode([label for label in tokens.labels if label != NOT_TRAINED]).encode())


def _room(base_path: Path, tokenizer: ChatTokenizer, prompts: list[str]) -> list[int] | None:
    """Tokens that the model's window leaves beside each prompt; None when its size is not known."""
    context = read_config(base_path).get("max_position_embeddings")
    return [context - tokens for tokens in tokenizer.count_many(prompts)] if isinstance(context, int) else None


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


def _other_base(request: EvaluateRequest, base_path: Path) -> tuple[Check, ...]:
    """Whether the adapter was trained on another base, whose shapes fit by chance or by kinship."""
    if request.finetuned_path is None or not is_adapter(request.finetuned_path):
        return ()
    named = json.loads((request.finetuned_path / "adapter_config.json").read_bytes()).get("base_model_name_or_path")
    if not named or Path(named) == base_path or Path(named).name.lower() == Path(request.model_name).name.lower():
        return ()
    return (
        Check(
            name="adapter_base",
            status="warn",
            details=f"The adapter names {quote(Path(named).name)} as its base, not '{request.model_name}'.",
            next_step="Make sure that both are the same model: on another one an adapter only disturbs.",
        ),
    )


def _prompts(status: CheckStatus, details: str) -> Check:
    next_step = "If the model was trained with that template, put it into the base's folder and evaluate again."
    if status == "pass":
        return Check(name="same_prompts", status="pass", details=details)
    return Check(name="same_prompts", status="warn", details=details, next_step=next_step)
