"""Everything that is settled before the first step: model, rows, numbers, memory."""

import sys
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ..examples.chat import ChatTokenizer
from ..examples.files import Prepared, load_prepared
from ..models.machine import Machine, look
from ..models.source import local_path, read_config, resolve_model
from ..runs.active import ActiveRun
from ..runs.record import now
from ..settings import Settings
from . import checkpoints
from .batches import sequences
from .plan import MARGIN, Setup, available_bytes, measure_shape, memory_bytes
from .recipe import Recipe, settle
from .request import TrainRequest
from .result import TrainResult
from .rows import Rows, tokenise


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
            **found,
        )


def settle_job(request: TrainRequest, run: ActiveRun) -> Job:
    """Find the model, tokenise the rows, fix every number.

    Raises:
        DataError, ModelError, InputError: Something given cannot be used.
        Cancelled: The run was stopped.
    """
    settings = Settings.from_environment()
    started_at = now()
    run.stage("finding the model")
    base = local_path(resolve_model(request.model_name, settings), settings)
    run.raise_if_stopped()
    run.stage("tokenising the rows")
    tokenizer = ChatTokenizer.load(base)
    prepared = load_prepared(request.data_path)
    rows = tokenise(prepared, tokenizer, request.method, request.hyperparameters.max_seq_length, _model_limit(base))
    train_set = sequences(rows.train, rows.max_seq_length if request.hyperparameters.packing else None)
    machine = look()
    recipe = settle(request, rows, len(train_set), machine)
    shape = measure_shape(base, request.technique, recipe, settings)
    setup = _with_checkpointing(Setup(request.technique, shape, recipe, rows, machine))
    run.raise_if_stopped()
    return Job(
        request=request,
        run=run,
        settings=settings,
        started_at=started_at,
        base=base,
        tokenizer=tokenizer,
        prepared=prepared,
        rows=rows,
        train_set=train_set,
        setup=setup,
    )


def _model_limit(base: Path) -> int:
    config = read_config(base)
    text = config.get("text_config")
    limit = (text if isinstance(text, dict) else config).get("max_position_embeddings")
    return limit if isinstance(limit, int) else sys.maxsize


def _with_checkpointing(setup: Setup) -> Setup:
    """The same with gradient checkpointing decided: on only when memory would not suffice without."""
    numbers = setup.recipe.numbers
    if numbers.gradient_checkpointing is not None:
        return setup
    tight = memory_bytes(setup) > MARGIN * available_bytes(setup.machine)
    numbers = numbers.model_copy(update={"gradient_checkpointing": tight})
    return replace(setup, recipe=replace(setup.recipe, numbers=numbers))
