"""Which technique suits this machine, from what each would need here."""

from collections.abc import Sequence

from .estimate import Estimate, Estimator
from .hyperparameters import Hyperparameters, Technique, with_defaults
from .request import TrainRequest
from .result import Advice

TECHNIQUES: tuple[Technique, ...] = ("lora", "qlora", "full")
GOOD_FOR: dict[Technique, str] = {
    "lora": "good for most cases",
    "qlora": "for little memory",
    "full": "for critical tasks with much data",
}
SLOW_ON_CPU = "slow without a GPU, since the 4-bit weights are unpacked at every use"


def advise(request: TrainRequest, here: Estimate, estimator: Estimator) -> tuple[Advice, ...]:
    """What each technique would take with this data, the batch and length of this training; the best that fits first
    named as recommended."""
    found = [here if t == request.technique else estimator.estimate(t, _numbers(request, here, t)) for t in TECHNIQUES]
    best = recommended(found)
    return tuple(_advice(one, one.technique == best, estimator.machine.device) for one in found)


def recommended(found: Sequence[Estimate]) -> Technique | None:
    """LoRA where it fits, else QLoRA; full fine-tuning is never pressed on anybody. None when neither fits."""
    fitting: list[Technique] = [one.technique for one in found if one.fits and one.technique != "full"]
    return next(iter(fitting), None)


def _numbers(request: TrainRequest, here: Estimate, technique: Technique) -> Hyperparameters:
    """The technique's own defaults, with the batch, length and number format of this training."""
    kept = ("batch_size", "gradient_accumulation", "max_seq_length", "dtype", "packing")
    numbers = with_defaults(Hyperparameters(), technique, request.method)
    return numbers.model_copy(update={name: getattr(here.numbers, name) for name in kept})


def _advice(one: Estimate, is_best: bool, device: str) -> Advice:
    notes = [GOOD_FOR[one.technique], f"trains {one.shape.trainable:,} numbers"]
    if one.numbers.gradient_checkpointing:
        notes.append("computes activations twice to fit (gradient checkpointing)")
    if one.sharded:
        notes.append("each process holds a part of every layer (FSDP2)")
    if one.technique == "qlora" and device == "cpu":
        notes.append(SLOW_ON_CPU)
    if is_best:
        notes.insert(0, "recommended here")
    return Advice(
        technique=one.technique,
        memory_gb=round(one.footprint.total / 1e9, 2),
        fits=one.fits,
        note="; ".join(notes),
    )
