"""What a training leaves behind."""

from datetime import datetime

from pydantic import Field, JsonValue

from ..checks import Check
from ..schema import Model
from .hyperparameters import Hyperparameters


class Difference(Model):
    """A number that is not what was asked for."""

    name: str
    requested: JsonValue
    effective: JsonValue
    reason: str


class Choice(Model):
    """A number that was chosen by model, data or memory."""

    name: str
    value: JsonValue
    reason: str
    source: str
    """Where the rule comes from."""


class Configuration(Model):
    """The numbers of the training."""

    requested: Hyperparameters
    """As given."""

    effective: Hyperparameters
    """As used."""

    effective_batch: int
    """Rows per optimizer step."""

    differences: tuple[Difference, ...] = ()
    """Where the two do not agree, and why."""

    choices: tuple[Choice, ...] = ()
    """What `auto` chose, and why."""


class Metric(Model):
    """One line of the training's course."""

    epoch: float
    step: int
    train_loss: float | None = None
    """Mean over the trained tokens since the line before; null where only validation was measured."""
    val_loss: float | None = None
    """Mean over the validation's trained tokens; null where it was not measured."""
    learning_rate: float | None = None
    grad_norm: float | None = None
    """Length of the gradient before cutting."""
    tokens_per_second: float | None = None
    """Since the line before."""
    memory_gb: float | None = None
    """Peak up to here: of the GPU, or of the process without one."""
    reward_margin: float | None = None
    """Preference methods: chosen minus rejected reward, mean."""
    reward_accuracy: float | None = None
    """Preference methods: share of pairs whose chosen answer has the higher reward."""


class Resources(Model):
    """What the training used."""

    device: str
    """Accelerator or processor, and the number format."""
    gpu_memory_used_gb: float | None = None
    """Peak; null without a GPU."""
    gpu_memory_total_gb: float | None = None
    host_memory_gb: float | None = None
    """Peak of the worker process."""
    training_time_s: float
    """All attempts together, evaluations included."""
    tokens_per_second: float | None = None
    """Tokens of the rows, padding and evaluations not counted, all attempts together."""
    trained_tokens_per_second: float | None = None
    """Those of them that have a loss."""
    trained_tokens: int
    """Tokens with a loss in one epoch."""
    total_tokens: int
    """All tokens in one epoch."""


class Checkpoint(Model):
    """A saved state that can be resumed."""

    name: str
    path: str
    step: int
    val_loss: float | None = None
    is_best: bool = False
    """Whether the result has these weights."""


class Diagnosis(Model):
    """Something that went less well than it could."""

    symptom: str
    cause: str
    next_step: str
    evidence: str


class Advice(Model):
    """What a technique would need here."""

    technique: str
    memory_gb: float
    """Estimated peak."""
    fits: bool
    """Whether this machine has that much."""
    note: str


class Experiment(Model):
    """One of several trainings over the same base."""

    name: str
    hyperparameters: dict[str, JsonValue]
    """What it overrides."""
    train_loss: float | None = None
    """The last one."""
    val_loss: float | None = None
    """Of its best checkpoint."""
    training_time_s: float | None = None
    adapter_path: str | None = None
    is_best: bool = False
    error: str | None = None
    """Why it failed; the others went on."""


class Plan(Model):
    """What a training would take."""

    total_parameters: int
    trainable_parameters: int
    train_rows: int
    valid_rows: int
    steps: int
    """Optimizer steps in all."""
    time_s: float | None = None
    """Seconds of training and evaluation."""
    time_basis: str
    """How the time was found."""
    memory_gb: float
    """Estimated peak."""
    memory_parts_gb: dict[str, float] = Field(default_factory=dict)
    """Of weights, adapter, gradients, optimizer, activations, ...; and how they were found."""
    advice: tuple[Advice, ...] = ()
    """Each technique on this machine."""
    memory_available_gb: float
    """Of the GPU, or of the host without one."""
    disk_gb: float
    """Of checkpoints and result."""
    disk_available_gb: float


class TrainResult(Model):
    """What came out of a training."""

    model_name: str
    technique: str
    method: str
    backend: str
    started_at: datetime
    configuration: Configuration
    metrics: tuple[Metric, ...] = ()
    resources: Resources | None = None
    """Null in a dry run."""
    checkpoints: tuple[Checkpoint, ...] = ()
    adapter_path: str | None = None
    """Of the best checkpoint; null for technique full."""
    model_path: str | None = None
    """The model of technique full."""
    validation_path: str | None = None
    """The rows that the validation loss was measured on."""
    checks: tuple[Check, ...] = ()
    diagnosis: tuple[Diagnosis, ...] = ()
    experiments: tuple[Experiment, ...] = ()
    """Best first; `adapter_path` is the best one's."""
    mask_preview: str = ""
    """Sample rows token by token, with those that are trained marked."""
    plan: Plan | None = Field(default=None)
    """Only in a dry run."""

    @property
    def last_train_loss(self) -> float | None:
        """Where the training loss ended; None when no step was logged."""
        return next((metric.train_loss for metric in reversed(self.metrics) if metric.train_loss is not None), None)

    @property
    def best(self) -> Checkpoint | None:
        """The checkpoint whose weights the result has."""
        return next((checkpoint for checkpoint in self.checkpoints if checkpoint.is_best), None)
