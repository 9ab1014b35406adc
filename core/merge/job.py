"""A merge request, understood: everything is read that can be read without loading a weight."""

from dataclasses import dataclass
from pathlib import Path

from ..checks import Check
from ..errors import ModelError
from ..models.source import local_path, resolve_model
from ..settings import Settings
from .adapter import WHOLE_MODEL, Adapter
from .blend import Recipe
from .checkpoint import HEAD, Checkpoint
from .mix import SUMS, Mix
from .names import Names
from .plan import Plan, Weighted, make_plan
from .provenance import Training, find_training, merged_before
from .request import MergeRequest
from .result import Method
from .unmerged import Unmerged

FULL_STRENGTH = (
    *("task_arithmetic", "ties", "dare_ties"),
    *("breadcrumbs", "breadcrumbs_ties", "della", "della_linear"),
)
"""Strategies whose weights are strengths and not shares: TIES and DELLA take the mean by themselves."""

SHARES = ("linear", "svd", "dare_linear")
"""Strategies that add the changes up, each with its share."""


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
    names: Names
    first_quantised: frozenset[str] = frozenset()
    """Weights that go through NF4 and back before the adapter is added."""

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
            return (
                f"The adapter is no plain sum of matrices: {self.plan.not_exact}. So peft merges the whole model, "
                f"which takes {self.base.parameters * 4 / 1e9:.1f} GB of memory."
            )
        if self.request.strategy in SUMS:
            return "Plain sums: the weights were read, changed in fp32 and written a block of rows at a time."
        return f"Each weight's whole changes were combined by {self.request.strategy} in fp32, one weight at a time."

    @property
    def adapter_folder(self) -> Path | None:
        """The adapter whose tokenizer the merged model gets: the last one."""
        return self.adapters[-1].adapter.folder if self.adapters else None

    @property
    def recipe(self) -> Recipe:
        """How each merged weight comes about."""
        mix = Mix(self.request.strategy, self.request.density, self.request.seed)
        cast = None if self.request.dtype == "auto" else self.dtype
        return Recipe(self.base, tuple(entry.weight for entry in self.adapters), mix, cast, self.first_quantised)

    @property
    def unmerged(self) -> Unmerged:
        """What the merged model has to equal."""
        vocabulary, nf4 = self.plan.vocabulary(self.base), bool(self.first_quantised)
        return Unmerged(self.base, self.adapters, self.recipe.mix, self.names, self.plan, vocabulary, nf4)

    @property
    def is_qlora(self) -> bool:
        """Whether the adapter is known to come from a QLoRA training."""
        return self.training is not None and self.training.technique == "qlora"

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
    whole = 1.0 if request.strategy in FULL_STRENGTH else 1 / max(1, len(folders))
    weights = request.weights or (whole,) * len(folders)
    adapters = tuple(Weighted(open_change(f, base), w) for f, w in zip(folders, weights, strict=True))
    names = Names(base, settings)
    plan = make_plan(base, adapters, names)
    if plan.not_exact and request.strategy != "lora":
        raise ModelError(
            f"Strategy {request.strategy} needs plain sums of matrices, and one adapter is none: {plan.not_exact}.",
            "Merge that adapter alone first, and give the merged model in its place.",
        )
    return Job(
        request=request,
        settings=settings,
        base=base,
        adapters=adapters,
        plan=plan,
        training=find_training(folders[-1], settings) if folders else None,
        dtype=base.dtype if request.dtype == "auto" else request.dtype,
        names=names,
    )


def open_change(folder: Path, base: Checkpoint) -> Adapter:
    """An adapter, or a whole model of the same shape, whose every weight then replaces the base's.

    Raises:
        ModelError: It cannot be read, or the model is not of the base's shape.
    """
    if not (folder / "config.json").is_file():
        return Adapter.open(folder)
    model = Checkpoint.open(folder)
    weights = {name: tensor for name, tensor in model.tensors.items() if tensor.is_float}
    wanted = {name for name, tensor in base.tensors.items() if tensor.is_float}
    if lacking := sorted((wanted - {HEAD}) - weights.keys()):
        raise ModelError(
            f"The model in '{folder}' lacks {len(lacking)} of the base's weights, e.g. {lacking[0]}.",
            "Combine only models that were trained from this base.",
        )
    return Adapter(folder, {"peft_type": WHOLE_MODEL}, weights)


def job_checks(job: Job) -> list[Check]:
    """What can be said of base and adapter before merging."""
    checks = [_base_check(job, entry.adapter) for entry in job.adapters]
    if job.method == "shards":
        count = sum(len(entry.adapter.tensors) for entry in job.adapters)
        details = (
            f"All {count} adapter tensors are used, each exactly once; they change {len(job.plan.changes)} weights."
        )
        checks.append(Check(name="adapter_tensors_used", status="pass", details=details, count=count))
    checks += _shares_check(job)
    if not job.request.verify:
        checks.append(
            Check(
                name="verification_off",
                status="warn",
                details="Nothing was reloaded or compared: verify was off.",
                next_step="Run it again with verify true before anybody relies on it.",
            )
        )
    return checks


def _shares_check(job: Job) -> list[Check]:
    """A word where weights that are shares do not make a whole."""
    total = sum(entry.weight for entry in job.adapters)
    if job.request.strategy not in SHARES or abs(total - 1) < 0.01:
        return []
    details = f"The weights add up to {total:g}, not 1: together the changes are {total:g} times as strong as a mean."
    step = f"Nothing, if that is meant; otherwise give weights that add up to 1, or strategy {FULL_STRENGTH[0]}."
    return [Check(name="weights", status="warn", details=details, next_step=step)]


def _base_check(job: Job, adapter: Adapter) -> Check:
    named = adapter.base_name
    if named is None:
        return Check(name="adapter_base", status="warn", details="The adapter does not say which base it was made for.")
    if run_id := merged_before(job.base.folder, adapter.folder):
        return Check(
            name="adapter_base",
            status="fail",
            details=f"This base holds the adapter already (run {run_id} merged it in): its changes would count twice.",
            next_step=f"Give the model that it was trained on as model_name: '{named}'.",
        )
    if _is_named(job, named):
        return Check(name="adapter_base", status="pass", details="The adapter names this base as its own.")
    return Check(
        name="adapter_base",
        status="warn",
        details=f"The adapter names '{named}' as its base, not '{job.request.model_name}'; the shapes fit.",
        next_step="Make sure that both are the same model.",
    )


def _is_named(job: Job, named: str) -> bool:
    """Whether the adapter means the base: by its place where that is on this machine, since many folders of other
    models have the same name, else by its name."""
    if Path(named).is_absolute() and Path(named).is_dir() and Path(job.request.model_name).is_absolute():
        return Path(named).resolve() == job.base.folder.resolve()
    return Path(named).name.lower() == Path(job.request.model_name).name.lower()
