"""Training a model of which each process holds a part of every layer (FSDP2), for models too large to be held whole.

transformers loads and gathers the parts. What is saved is a plain model or adapter, as of any training; the moments of
an optimizer that changes sharded weights lie beside it in parts. An adapter is small: each process has it whole.
"""

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule
from transformers.distributed.checkpoint import load_optimizer_distributed, save_optimizer_distributed
from transformers.trainer import SCHEDULER_NAME

from ..models.load import load_base
from ..settings import Settings
from . import distributed
from .trainer import FineTuner

MOMENTS = "moments"
"""In a checkpoint: the optimizer's state, a part of each process."""


M_MMAP_THRESHOLD = -3  # of glibc's mallopt
LARGE_BYTES = 1 << 20


def give_back_freed_memory() -> None:
    """Let this process return freed tensors to the system at once, where the C library is glibc.

    It would keep them for later: gathered layers then took more than sharding saves (38M weights: 1.7 GB, now 1.2).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def was_sharded(checkpoint: Path) -> bool:
    """Whether a training of sharded layers wrote this checkpoint."""
    return (checkpoint / MOMENTS).is_dir()


def _let_go(model: torch.nn.Module, *_: Any) -> None:
    """After a pass that no backward pass follows, which would do it: keep the own parts alone of all layers."""
    if torch.is_grad_enabled():
        return
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


class ShardedBaseTuner(FineTuner):
    """An adapter's training; all processes compute the same layers at the same time, each on its own rows."""

    sharded = True

    def __init__(self, **options: Any) -> None:
        options["args"].save_only_model = True  # transformers refuses to save such an optimizer itself, at this place
        super().__init__(**options)
        self.args.save_only_model = False
        self.model.register_forward_hook(_let_go)

    @contextlib.contextmanager
    def _defer_fsdp_gradient_reduction(self) -> Iterator[None]:
        """Share out the gradients after each batch: deferring that to the end of a step would keep them whole."""
        yield

    def _sync_replicated_trainable_parameters(self, model: torch.nn.Module) -> None:
        """Nothing: adapters begin with the same random numbers, and their gradients are averaged once a step."""


class ShardedFineTuner(ShardedBaseTuner):
    """The same for all weights: gradients and moments are in parts as the weights are."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        self.settings = settings
        super().__init__(**options)

    def held_whole(self, model: Any) -> list[torch.nn.Parameter]:
        """None of the trained weights: FSDP2 shares out their gradients."""
        return []

    def _clip_grad_norm(self, model: Any) -> float:
        return float(super()._clip_grad_norm(model))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        save_optimizer_distributed(self.model, self._plain_optimizer, str(Path(output_dir) / MOMENTS))
        scheduler: Any = self.lr_scheduler
        if self.args.should_save:
            torch.save(scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_optimizer_distributed(self.model, self._plain_optimizer, str(Path(checkpoint) / MOMENTS))
            scheduler: Any = self.lr_scheduler
            scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True))
        super()._load_optimizer_and_scheduler(checkpoint)

    @property
    def _plain_optimizer(self) -> Any:
        return getattr(self.optimizer, "optimizer", self.optimizer)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """The weights of a checkpoint, of which each process reads its part."""
        saved: Any = load_base(
            Path(resume_from_checkpoint), dtype="float32", shards=distributed.world_size(), settings=self.settings
        )
        for mine, read in zip(self.model.parameters(), saved.parameters(), strict=True):
            mine.detach().to_local().copy_(read.detach().to_local())

    def _load_best_model(self) -> None:
        assert self.state.best_model_checkpoint is not None
        self._load_from_checkpoint(self.state.best_model_checkpoint)
