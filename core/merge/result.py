"""What a merge leaves behind, and how it was proven."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from ..checks import Check, CheckStatus
from ..schema import Model
from .request import Quantization, Strategy

Method = Literal["shards", "in_memory", "none"]
Target = Literal["transformers", "vllm", "sglang", "llama-server", "lm-studio", "ollama"]


class MergedFile(Model):
    """One file of the merged model."""

    path: Path
    bytes: int = Field(ge=0)


class Tolerance(Model):
    """What rounding to the merged model's number format may cost."""

    max_abs_logit_difference: float
    mean_kl: float
    """Nats."""


class Verification(Model):
    """The merged model, reloaded from disk, against base + adapter."""

    status: CheckStatus
    max_abs_logit_difference: float
    mean_kl: float
    """KL divergence in nats, mean over the compared positions."""
    greedy_agreement: float
    """Share of positions with the same likeliest token, 0 to 1."""
    adapter_kl: float
    """The same divergence between base and base + adapter: what the adapter does, as a yardstick."""
    prompts: int
    positions: int
    prompt_source: str
    """Where the prompts come from."""
    arithmetic: str
    """Number format of both computations."""
    tolerance: Tolerance


class Measured(Model):
    """One model on the rows that were compared."""

    model: str
    loss: float
    """Nats a token of the answers."""
    mean_kl: float | None
    """KL divergence in nats from base + adapter as it was trained; null for that one."""


class GgufVerification(Model):
    """One GGUF file, loaded in a process of its own and asked."""

    status: CheckStatus
    engine: str
    """What loaded it."""
    question: str
    answer: str | None
    """Its greedy answer; null when it gave none."""
    greedy_agreement: float | None
    """Share of the rows' answer tokens at which it finds the same token likeliest as the merged model, 0 to 1."""
    loss: float | None
    """Nats a token of the rows' answers; null where the engine does not tell."""
    merged_loss: float
    """The merged model's on the same rows."""
    tokens: int
    """Of those answers."""
    source: str
    """Where the rows come from."""
    bits_per_weight: float
    tensor_types: dict[str, int]
    """Tensors in the file by number format."""
    details: str
    """What was found, in a sentence."""


class Export(Model):
    """One GGUF file."""

    quantization: Quantization
    path: Path
    bytes: int = Field(ge=0)
    verification: GgufVerification | None
    """Null when verify was off."""


class Deploy(Model):
    """How to serve it."""

    target: Target
    command: str


class UploadedFile(Model):
    """One file in a repository."""

    name: str
    bytes: int


class Upload(Model):
    """What goes to the model hub, or went."""

    repo_id: str
    private: bool
    files: tuple[UploadedFile, ...]
    bytes: int
    """Of all files; sizes of files that are still to be made are estimates on the high side."""
    url: str | None
    """Of the commit; null as long as nothing went."""


class MergePlan(Model):
    """What a dry run expects."""

    disk_needed_bytes: int
    """At the peak, with the intermediate f16 file."""
    disk_free_bytes: int
    memory_bytes: int
    """Resident, of all its processes, at the peak."""


class MergeResult(Model):
    """The merged model and its exports."""

    model_name: str
    adapter_paths: tuple[Path, ...]
    strategy: Strategy
    method: Method
    method_reason: str
    dtype: str
    """Number format of the merged weights."""
    merged_path: Path | None
    """Null in a dry run or without adapter."""
    files: tuple[MergedFile, ...]
    verification: Verification | None
    """Null when not verified."""
    measured: tuple[Measured, ...]
    exports: tuple[Export, ...]
    modelfile_path: Path | None
    deploy: tuple[Deploy, ...]
    upload: Upload | None = None
    plan: MergePlan | None
    """Only in a dry run."""
    checks: tuple[Check, ...]
    warnings: tuple[str, ...]
