"""A merge request, understood: everything is read that can be read without loading a weight."""

from dataclasses import dataclass
from pathlib import Path

from ..checks import Check
from ..models.source import local_path, resolve_model
from ..settings import Settings
from .adapter import Adapter
from .blend import Recipe
from .checkpoint import Checkpoint
from .mix import Mix
from .names import Names
from .plan import Plan, Weighted, make_plan
from .provenance import Training, find_training
from .request import MergeRequest
from .result import Method


@dataclass(frozen=True)
class Job:
    """What is to be merged into what, and how."""

    request: MergeRequest
    settings: Settings
    base: Checkpoint
    adapters: tuple[Weighted, ...]
    plan: Plan
    training: Training | None
    """The train run that the adapter comes from, where it is known."""
    dtype: str
    """Number format of the merged weights."""

    @property
    def method(self) -> Method:
        if not self.adapters:
            return "none"
        return "in_memory" if self.plan.not_exact else "shards"

    @property
    def method_reason(self) -> str:
        """Why this way, for people."""
        if self.method == "none":
            return "There is no adapter: the model is exported as it is."
        if self.method == "in_memory":
            return f"The adapter is no plain sum of matrices: {self.plan.not_exact}. So peft merged the whole model."
        return "Plain LoRA: each weight file was read, changed in fp32 and written, one at a time."

    @property
    def adapter_folder(self) -> Path | None:
        """The adapter whose tokenizer the merged model gets: the last one."""
        return self.adapters[-1].adapter.folder if self.adapters else None

    @property
    def recipe(self) -> Recipe:
        """How each merged weight comes about."""
        mix = Mix(self.request.strategy, 1.0, self.request.seed)
        cast = None if self.request.dtype == "auto" else self.dtype
        return Recipe(self.base, tuple(entry.weight for entry in self.adapters), mix, cast)

    @property
    def max_shard_bytes(self) -> int:
        return int(self.request.max_shard_gb * 1e9)


def read_job(request: MergeRequest, settings: Settings) -> Job:
    """Read the headers of base and adapters and match them.

    Raises:
        ModelError: The base or an adapter cannot be used, or they do not fit each other.
    """
    base = Checkpoint.open(local_path(resolve_model(request.model_name, settings), settings))
    folders = request.adapter_paths
    weights = request.weights or (1 / max(1, len(folders)),) * len(folders)
    adapters = tuple(Weighted(Adapter.open(f), w) for f, w in zip(folders, weights, strict=True))
    return Job(
        request=request,
        settings=settings,
        base=base,
        adapters=adapters,
        plan=make_plan(base, adapters, Names(base, settings)),
        training=find_training(folders[-1], settings) if folders else None,
        dtype=base.dtype if request.dtype == "auto" else request.dtype,
    )


def job_checks(job: Job) -> list[Check]:
    """What can be said of base and adapter before merging."""
    checks = [_base_check(job, entry.adapter) for entry in job.adapters]
    if job.method == "shards":
        count = sum(len(entry.adapter.tensors) for entry in job.adapters)
        details = (
            f"All {count} adapter tensors are used, each exactly once; they change {len(job.plan.changes)} weights."
        )
        checks.append(Check(name="adapter_tensors_used", status="pass", details=details, count=count))
    if not job.request.verify:
        checks.append(
            Check(
                name="verification_off",
                status="warn",
                details="Nothing was reloaded or compared: verify was off.",
                next_step="Run it again with verify true before anybody relies on it.",
            )
        )
    if job.training and job.training.technique == "qlora":
        checks.append(
            Check(
                name="qlora_base",
                status="warn",
                details="The adapter was trained on the 4-bit (NF4) base and is merged into the 16-bit one: slightly "
                "other weights than it saw.",
                next_step="Run evaluate on the merged model with held-out rows and compare with the adapter's scores.",
            )
        )
    return checks


def _base_check(job: Job, adapter: Adapter) -> Check:
    named = adapter.base_name
    if named is None:
        return Check(name="adapter_base", status="warn", details="The adapter does not say which base it was made for.")
    same = Path(named) == job.base.folder or Path(named).name.lower() == Path(job.request.model_name).name.lower()
    if same:
        return Check(name="adapter_base", status="pass", details="The adapter names this base as its own.")
    return Check(
        name="adapter_base",
        status="warn",
        details=f"The adapter names '{Path(named).name}' as its base, not '{job.request.model_name}'; the shapes fit.",
        next_step="Make sure that both are the same model.",
    )
