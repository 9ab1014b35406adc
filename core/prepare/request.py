"""What a preparation is asked to do, checked without opening the data."""

import json
from pathlib import Path
from typing import Literal

from pydantic import Field

from .. import paths
from ..errors import FinetunerError, InputError
from ..examples.dialects import PART_WORDS, Format
from ..models.source import HUB_TOKEN, hub_environment, resolve_model
from ..problems import Problems
from ..runs.request import RunRequest
from ..settings import Settings
from ..untrusted import quote
from . import sources
from .hub import is_hub_entry
from .restore import restored

Dedup = Literal["off", "exact", "near"]
Pii = Literal["off", "report", "redact", "drop"]
VALID_FRACTION = 0.1


class PrepareRequest(RunRequest):
    """Arguments of `prepare`."""

    data_path: str | tuple[str, ...]
    """File, folder, glob, hf://datasets/owner/name, or list: JSON(L), CSV, text, Parquet, Arrow; also packed."""

    format: Format = "openai"
    """Of the written records; plain text needs completion."""

    model_name: str | None = None
    """Base model to be trained; without it counts are estimates."""

    columns: dict[str, str] | None = None
    """Field -> role (system, user, context, assistant, reasoning, prompt, completion, messages)."""

    prompt_template: str | None = None
    """Jinja for the question: "Classify: {{ text }}"."""

    dedup: Dedup = "near"
    """off keeps duplicates in one split; exact drops equal rows, near similar ones too."""

    near_duplicate_threshold: float = Field(default=0.8, gt=0, le=1)
    """Jaccard similarity of word triples."""

    pii: Pii = "redact"
    """Personal data and secrets: redact to [EMAIL_1], or drop the row."""

    keep_values: bool = False
    """Let personal data stand in ledger.jsonl."""

    min_length: int = Field(default=1, ge=0)
    """Tokens of a row; shorter rows are dropped."""

    max_length: int | None = Field(default=None, ge=1)
    """Tokens of a row; longer rows are kept and reported."""

    valid_fraction: float = Field(default=VALID_FRACTION, ge=0, lt=1)
    """Share for valid.jsonl; at the default, given splits (files named train, test) stay."""

    stratify_by: str | None = None
    """Class field, spread evenly over both splits; found if left out."""

    group_by: str | None = None
    """Field whose equal values stay in one split."""

    benchmarks: tuple[str, ...] = ()
    """Test sets to look for in the data: files, or hub names such as gsm8k."""

    restore: tuple[str, ...] = ()
    """Undo: rules or row_ids of ledger.jsonl to leave alone."""

    @property
    def keeps_given_splits(self) -> bool:
        """Whether splits that the data brings along stay as they are."""
        return self.valid_fraction == VALID_FRACTION


def resolve(request: PrepareRequest, settings: Settings) -> PrepareRequest:
    """The request with absolute paths, all contradictions found at once.

    Raises:
        InputError: One or several arguments cannot be, each with its next step.
    """
    entries = entries_of(request)
    problems = Problems()
    output_dir = problems.attempt(lambda: paths.confine(request.output_dir, settings))
    resolved = problems.attempt(lambda: sources.absolute(entries, settings))
    if output_dir is not None and resolved is not None:
        problems.attempt(
            lambda: _refuse_replacing(sources.expand(resolved, settings, leave_out=output_dir), request, output_dir)
        )
    benchmarks = problems.attempt(lambda: tuple(_local_or_name(name, settings) for name in request.benchmarks))
    problems.attempt(lambda: restored(request.restore))
    problems.attempt(lambda: _compiled(request.prompt_template))
    problems += _contradictions(request, settings)
    problems.raise_any()
    return request.model_copy(
        update={
            "data_path": resolved,
            "output_dir": output_dir,
            "benchmarks": benchmarks,
            "format": _format(request, entries),
        }
    )


def _refuse_replacing(files: tuple[Path, ...], request: PrepareRequest, output_dir: Path) -> None:
    """A ledger can undo only as long as the rows that were read are there; so `overwrite` is no leave for this."""
    made = {output_dir / name for name in outputs(request)}
    if own := next((file for file in files if file in made), None):
        problem = f"The run would replace the data that it reads, {quote(str(own), 200)}, and nothing could be undone."
        raise InputError(problem, "Choose another output_dir.")


def entries_of(request: PrepareRequest) -> tuple[str, ...]:
    """data_path as a list, also when a client sent the list as JSON text."""
    given = request.data_path
    if not isinstance(given, str):
        return given
    if given.lstrip().startswith("["):
        try:
            parsed = json.loads(given)
        except ValueError:
            return (given,)
        if isinstance(parsed, list) and all(isinstance(entry, str) for entry in parsed):
            return tuple(parsed)
    return (given,)


def inputs(request: PrepareRequest) -> tuple[Path, ...]:
    """The files whose content decides the result."""
    local = tuple(entry for entry in entries_of(request) if not is_hub_entry(entry))
    found = sources.find(local, leave_out=request.output_dir)
    return (*found, *(Path(name) for name in request.benchmarks if Path(name).is_file()))


def outputs(request: PrepareRequest) -> tuple[str, ...]:
    """Names that the run writes into output_dir."""
    valid = ("valid.jsonl",) if request.valid_fraction else ()
    return ("train.jsonl", *valid, "ledger.jsonl")


def _format(request: PrepareRequest, entries: tuple[str, ...]) -> Format:
    """completion for plain text when no format was asked for: a text without prompt cannot be a conversation."""
    asked = "format" in request.model_fields_set
    return "completion" if not asked and all(sources.is_plain_text(entry) for entry in entries) else request.format


def _local_or_name(name: str, settings: Settings) -> str:
    looks_like_file = ("/" in name or "." in name) and not is_hub_entry(name)
    return str(paths.existing(name, settings, "The benchmark file")) if looks_like_file else name


def _compiled(prompt_template: str | None) -> None:
    """Find a template's mistakes before any row is read."""
    if prompt_template is not None:
        from ..examples.prompt_template import PromptTemplate  # Jinja would slow down every start of the server

        PromptTemplate(prompt_template)


def _contradictions(request: PrepareRequest, settings: Settings) -> list[FinetunerError]:
    problems: list[FinetunerError] = []
    if request.max_length is not None and request.min_length > request.max_length:
        problems.append(
            InputError(
                f"min_length {request.min_length} is above max_length {request.max_length}.", "Swap or change them."
            )
        )
    for field, role in (request.columns or {}).items():
        if role.strip().lower() not in PART_WORDS and field.strip().lower() not in PART_WORDS:
            known = ", ".join(dict.fromkeys(PART_WORDS.values()))
            problems.append(
                InputError(f"columns: {quote(field)} has the unknown role {quote(role)}.", f"Use one of: {known}.")
            )
    if request.model_name is not None:
        try:
            resolve_model(request.model_name, settings)
        except FinetunerError as error:
            problems.append(error)
    return problems


def environment(request: PrepareRequest) -> tuple[str, ...]:
    """The hub's login where data, a benchmark or the model may lie there."""
    fetched = any(map(is_hub_entry, entries_of(request))) or any(
        not Path(name).is_file() for name in request.benchmarks
    )
    return (HUB_TOKEN,) if fetched else hub_environment(request.model_name)
