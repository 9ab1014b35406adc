"""The numbers of a training: what may be asked for, and what holds when nothing was."""

from typing import Literal

from pydantic import Field

from ..schema import Model

Technique = Literal["lora", "qlora", "full"]
Method = Literal["sft", "dpo", "orpo", "kto"]
Scheduler = Literal["cosine", "linear", "constant"]
PREFERENCE: tuple[Method, ...] = ("dpo", "orpo", "kto")
ALL_LINEAR = "all-linear"
BETA = 0.1  # of dpo, orpo and kto alike: the papers' and TRL's default


class Hyperparameters(Model):
    """Each null stands for the technique's default."""

    rank: int | None = Field(default=None, ge=1, le=1024)
    """Of the adapter. Default 16."""

    alpha: float | None = Field(default=None, gt=0)
    """Scale is alpha / rank. Default 16."""

    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Of the adapter. Default 0."""

    target_modules: Literal["all-linear"] | tuple[str, ...] | None = None
    """all-linear (default), or names such as q_proj."""

    use_rslora: bool | None = None
    """Scale alpha / sqrt(rank)."""

    use_dora: bool | None = None
    """Weight-decomposed: slower, better at low rank."""

    init_lora_weights: Literal["pissa"] | None = None
    """Begin with the base's principal directions."""

    learning_rate: float | None = Field(default=None, gt=0, le=1)
    """Peak. Default by technique and method."""

    beta: float | None = Field(default=None, gt=0)
    """dpo, kto: pull to the base; orpo: weight of the preference. Default 0.1."""

    batch_size: int | None = Field(default=None, ge=1)
    """Rows at once. Default 4; qlora 2."""

    gradient_accumulation: int | None = Field(default=None, ge=1)
    """Batches a step. Default 4; qlora 8."""

    epochs: float | None = Field(default=None, gt=0, le=1000)
    """Default 3."""

    max_steps: int | None = Field(default=None, ge=1)
    """Instead of epochs."""

    warmup_ratio: float | None = Field(default=None, ge=0, lt=1)
    """Default 0.03."""

    weight_decay: float | None = Field(default=None, ge=0, le=1)
    """Default 0.01."""

    scheduler: Scheduler | None = None
    """Default cosine."""

    max_grad_norm: float | None = Field(default=None, gt=0)
    """Default 1.0."""

    max_seq_length: int | None = Field(default=None, ge=8)
    """Tokens; longer rows are cut. Default: longest row."""

    packing: bool | None = None
    """Short rows in one sequence."""

    early_stopping_patience: int | None = Field(default=None, ge=0)
    """Evaluations without gain; 0: never. Default 3."""

    save_steps: int | None = Field(default=None, ge=1)
    """Also between evaluations. Default: by length."""

    save_total_limit: int | None = Field(default=None, ge=1)
    """Default 3, the best among them."""

    logging_steps: int | None = Field(default=None, ge=1)
    """Default: some 40 in all."""

    gradient_checkpointing: bool | None = None
    """Default: when memory needs it."""

    on_non_finite: Literal["stop", "lower_rate"] | None = None
    """lower_rate: go on once at a tenth. Default stop."""

    dtype: Literal["bfloat16", "float32"] | None = None
    """Default: the fast one here."""


SHARED = Hyperparameters(
    rank=16,
    alpha=16,
    dropout=0,
    target_modules=ALL_LINEAR,
    batch_size=4,
    gradient_accumulation=4,
    epochs=3,
    warmup_ratio=0.03,
    weight_decay=0.01,
    scheduler="cosine",
    max_grad_norm=1.0,
    packing=False,
    early_stopping_patience=3,
    save_total_limit=3,
)
OWN: dict[Technique, dict[str, float | int | None]] = {
    "lora": {},
    "qlora": {"batch_size": 2, "gradient_accumulation": 8},
    "full": {"rank": None, "alpha": None, "dropout": None, "target_modules": None},
}
LEARNING_RATES: dict[Method, float] = {
    "sft": 2e-4,
    "dpo": 5e-6,  # as in the commands that TRL's scripts for dpo and orpo show for LoRA
    "orpo": 8e-5,
    "kto": 5e-6,  # "similar to that of DPO": TRL's script for kto
}
FULL = 0.1  # of LoRA's learning rate: "LoRA Without Regret", thinkingmachines.ai/blog/lora; so TRL's scripts too
ADAPTER_ONLY = ("rank", "alpha", "dropout", "target_modules", "use_rslora", "use_dora", "init_lora_weights")


def with_defaults(asked: Hyperparameters, technique: Technique, method: Method = "sft") -> Hyperparameters:
    """What was asked for, the rest filled with the defaults of technique and method; what depends on the data is null.

    A batch of a preference method has as many pairs as one of sft has rows.
    """
    rate = LEARNING_RATES[method] * (FULL if technique == "full" else 1)
    own = OWN[technique] | {"learning_rate": float(f"{rate:.3g}"), "beta": BETA if method in PREFERENCE else None}
    return SHARED.model_copy(update=own | asked.model_dump(exclude_none=True))
