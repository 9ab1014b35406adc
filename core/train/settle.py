"""Everything that is settled before the first step: model, rows, numbers, memory."""

import sys
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ..checks import Check
from ..examples.chat import ChatTokenizer
from ..examples.files import Prepared, load_prepared
from ..models.machine import Machine, look
from ..models.source import local_path, read_config, resolve_model
from ..runs.active import ActiveRun
from ..runs.record import now
from ..settings import Settings
from . import auto, checkpoints
from .base_check import base_check
from .batches import Collator, PairCollator, collator_of, sequences
from .estimate import Estimator, available_bytes, process_bytes
from .number_checks import number_checks
from .plan import Setup
from .portions import Portion
from .preview import preview
from .recipe import Recipe, settle
from .request import TrainRequest
from .result import Choice, TrainResult
from .rows import Rows, tokenise
from .token_checks import token_checks


@dataclass(frozen=True)
class Job:
    """Everything that is settled before the first step."""

    request: TrainRequest
    run: ActiveRun
    settings: Settings
    started_at: datetime
    base: Path
    tokenizer: ChatTokenizer
    prepared: Prepared
    rows: Rows
    train_set: Any
    setup: Setup
    estimator: Estimator
    checks: tuple[Check, ...]
    """Of rows, tokens and base model."""

    @property
    def recipe(self) -> Recipe:
        return self.setup.recipe

    @property
    def machine(self) -> Machine:
        return self.setup.machine

    @property
    def checkpoints_dir(self) -> Path:
        return self.run.output_dir / checkpoints.FOLDER

    @property
    def packed_length(self) -> int | None:
        return self.rows.max_seq_length if self.recipe.numbers.packing else None

    @property
    def collator(self) -> Collator | PairCollator:
        """What makes batches of the sequences."""
        return collator_of(self.request.method, padding_id(self.tokenizer), bool(self.recipe.numbers.packing))

    def result(self, **found: Any) -> TrainResult:
        """The result with what is known from the beginning."""
        return TrainResult(
            model_name=self.request.model_name,
            technique=self.request.technique,
            method=self.request.method,
            backend=self.request.backend,
            started_at=self.started_at,
            configuration=self.recipe.configuration(self.request, self.rows),
            validation_path=str(self.prepared.valid_path) if self.prepared.valid_path else None,
            mask_preview=preview(self.rows.train, self.tokenizer),
            **found,
        )


def settle_job(request: TrainRequest, run: ActiveRun) -> Job:
    """Find the model, tokenise the rows, fix every number.

    Raises:
        DataError, ModelError, InputError: Something given cannot be used.
        Cancelled: The run was stopped.
    """
    settings, started_at = Settings.from_environment(), now()
    run.stage("finding the model")
    base = local_path(resolve_model(request.model_name, settings), settings)
    run.raise_if_stopped()
    run.stage("tokenising the rows")
    tokenizer = ChatTokenizer.load(base)
    prepared = load_prepared(request.data_path)
    rows, choices = _rows(request, prepared, tokenizer, base)
    run.raise_if_stopped()
    run.stage("estimating memory")
    estimator = _estimator(request, rows, tokenizer, base, settings)
    setup = _setup(request, rows, estimator, (*choices, *auto.by_data(request, rows, read_config(base))))
    run.raise_if_stopped()
    packed = rows.max_seq_length if setup.recipe.numbers.packing else None
    return Job(
        request=request,
        run=run,
        settings=settings,
        started_at=started_at,
        base=base,
        tokenizer=tokenizer,
        prepared=prepared,
        rows=rows,
        train_set=sequences(rows.train, packed),
        setup=setup,
        estimator=estimator,
        checks=(
            *rows.checks,
            *token_checks(rows, prepared, tokenizer, base, setup.shape.vocabulary),
            *number_checks(request, setup),
            base_check(request.model_name, base),
        ),
    )


def _rows(
    request: TrainRequest, prepared: Prepared, tokenizer: ChatTokenizer, base: Path
) -> tuple[Rows, tuple[Choice, ...]]:
    """The rows, cut where it was asked for, or where `auto` finds it wise."""
    limit = _model_limit(base)
    rows = tokenise(prepared, tokenizer, request.method, request.hyperparameters.max_seq_length, limit)
    choice = auto.by_length(request, [len(part.input_ids) for row in rows.train for part in row.parts])
    if choice is None:
        return rows, ()
    return tokenise(prepared, tokenizer, request.method, int(str(choice.value)), limit), (choice,)


def padding_id(tokenizer: ChatTokenizer) -> int:
    """The token that fills up a batch; which one it is never matters, since it is neither read nor trained."""
    return tokenizer.pad_id or tokenizer.eos_id or 0


def _model_limit(base: Path) -> int:
    config = read_config(base)
    text = config.get("text_config")
    limit = (text if isinstance(text, dict) else config).get("max_position_embeddings")
    return limit if isinstance(limit, int) else sys.maxsize


def _estimator(
    request: TrainRequest, rows: Rows, tokenizer: ChatTokenizer, base: Path, settings: Settings
) -> Estimator:
    def fullest(portion: Portion, packed: bool) -> dict[str, Any]:
        chosen = sequences(rows.train, rows.max_seq_length if packed else None)
        return collator_of(request.method, padding_id(tokenizer), packed)(portion.fullest(chosen))

    machine = look()
    return Estimator(
        folder=base,
        settings=settings,
        machine=machine,
        method=request.method,
        fullest=fullest,
        process_bytes=process_bytes(machine),
        available=available_bytes(machine, request.num_processes),
        processes=request.num_processes,
    )


def _setup(request: TrainRequest, rows: Rows, estimator: Estimator, choices: tuple[Choice, ...]) -> Setup:
    """All numbers, and the memory that they need."""

    def settled() -> Recipe:
        asked = auto.filled(request.hyperparameters, choices)
        chosen = request.model_copy(update={"hyperparameters": asked})
        number = len(sequences(rows.train, rows.max_seq_length if asked.packing else None))
        return settle(chosen, rows, number, estimator.machine)

    choices += auto.by_memory(request, settled().numbers, estimator)
    recipe = settled()
    estimate = estimator.estimate(request.technique, recipe.numbers)
    recipe = replace(recipe, numbers=estimate.numbers, sharded=estimate.sharded, choices=choices)
    return Setup(estimate, recipe, rows, estimator.machine)
