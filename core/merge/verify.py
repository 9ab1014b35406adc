"""The proof of a merge: what was written, reloaded from disk, predicts what base + adapter predict."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import extras
from ..checks import CheckStatus
from ..errors import ExportError
from ..models.load import load_base
from ..models.machine import free_memory_bytes, look
from ..settings import Settings
from .checkpoint import Checkpoint
from .offloaded import Offloaded, can_attach
from .plan import Plan
from .probes import Probe, Probes
from .result import Tolerance, Verification
from .unmerged import Arithmetic, Unmerged

if TYPE_CHECKING:
    import torch

POSITIONS = 256
"""Compared positions of all probes, spread over them: enough to see, few enough that a large vocabulary fits memory."""

FITS = 0.7  # share of free memory that one fp32 copy of the model may take

TOLERANCES = {
    "float32": Tolerance(max_abs_logit_difference=1e-2, mean_kl=1e-6),
    "float16": Tolerance(max_abs_logit_difference=0.25, mean_kl=1e-4),
    "bfloat16": Tolerance(max_abs_logit_difference=2.0, mean_kl=2e-3),
}
"""What rounding each weight once may cost at least: about ten times what it cost the built-in model (30 layers) with a
random adapter, whose KL was 3e-5 nats in bfloat16, with a largest logit difference of 0.17. A trained adapter can
make a model more sensitive, so what rounding costs this one is measured too."""

NO_ROUNDING = Tolerance(max_abs_logit_difference=0, mean_kl=0)
ROUNDING_MARGIN = 1.5  # times what rounding alone was measured to cost: another order of sums rounds a little otherwise

LOST_SHARE = 0.5  # an error this large beside the adapter's own effect means that the adapter is not in there
NOTABLE_SHARE = 0.1


@dataclass(frozen=True)
class Said:
    """What one model says on the probes."""

    logits: "tuple[torch.Tensor, ...]"
    """At an equal number of places of each probe, POSITIONS in all, fp32 on the CPU."""
    losses: tuple[float, ...]
    """Of each probe's answer, in nats, summed over its tokens."""
    tokens: tuple[int, ...]
    """Of each probe's answer."""

    @property
    def loss(self) -> float:
        """Nats a token of the answers."""
        return sum(self.losses) / max(1, sum(self.tokens))

    def divergence_from(self, truth: "Said") -> float:
        """KL(truth || this) in nats, mean over the positions."""
        pairs = zip(truth.logits, self.logits, strict=True)
        return _mean([_kl(expected.log_softmax(-1), found.log_softmax(-1)) for expected, found in pairs])


@dataclass(frozen=True)
class Reference:
    """What base + adapter say on the probes."""

    probes: Probes
    said: Said
    base: Said
    """What the base alone says."""
    arithmetic: Arithmetic
    rounding: Tolerance
    """What storing the merged weights in their number format changes, with nothing else done to them."""

    @property
    def adapter_kl(self) -> float:
        """What the adapter does: from it to the base."""
        return self.base.divergence_from(self.said)


def arithmetic_for(base: Checkpoint, plan: Plan | None = None) -> Arithmetic:
    """float32 where the model fits in it, so that only the stored weights' rounding shows; else the machine's own.

    Where that does not fit either, the weights stay on disk, if the plan (what is to be added) can be done so.
    """
    if fits(base.parameters, "float32"):
        return Arithmetic("float32")
    dtype = look().dtype
    if fits(base.parameters, dtype) or plan is None or not can_attach(plan):
        return Arithmetic(dtype)
    return Arithmetic(base.dtype, from_disk=True)


def fits(parameters: int, dtype: str) -> bool:
    """Whether a copy of a model of so many numbers leaves some of the memory free where models are loaded."""
    torch = extras.require("torch", "Loading a model")
    free = torch.cuda.mem_get_info()[0] if look().device == "cuda" else free_memory_bytes()
    return weight_bytes(parameters, dtype) < FITS * free


def weight_bytes(parameters: int, dtype: str) -> int:
    """What so many numbers take in one of the formats that models are loaded in."""
    return parameters * (4 if dtype == "float32" else 2)


def measure_reference(
    unmerged: Unmerged, probes: Probes, arithmetic: Arithmetic, rounded_to: str | None, settings: Settings
) -> Reference:
    """Ask base + adapters, unmerged; and again merged and rounded to a number format, to know what that alone costs.

    `rounded_to` is None where peft cannot merge what lies in memory (an adapter on tied embeddings).
    """
    model = unmerged.load(arithmetic, settings)
    if not hasattr(model, "disable_adapter"):  # several were combined in memory: the base is a model of its own
        said, base = ask(model, probes), ask(reload(unmerged.base.folder, arithmetic, settings), probes)
        return Reference(probes, said, base, arithmetic, NO_ROUNDING)
    said = ask(model, probes)
    with model.disable_adapter():
        base = ask(model, probes)
    live = Reference(probes, said, base, arithmetic, NO_ROUNDING)
    return (
        live
        if rounded_to is None or arithmetic.from_disk
        else replace(live, rounding=_cost_of_rounding(live, model, rounded_to))
    )


def _cost_of_rounding(live: Reference, model: Any, dtype: str) -> Tolerance:
    _merge_and_round(model, dtype)
    rounded = ask(model, live.probes)
    return Tolerance(
        max_abs_logit_difference=_largest_difference(rounded, live.said), mean_kl=rounded.divergence_from(live.said)
    )


def _merge_and_round(model: Any, dtype: str) -> None:
    """Merge by peft, which shares no code with ours, and round every weight as storing it would."""
    import torch

    model.merge_adapter()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(getattr(torch, dtype)))


@dataclass(frozen=True)
class Compared:
    """A comparison, and what the merged model said in it."""

    verification: Verification
    said: Said


def compare(reference: Reference, merged: Any, dtype: str) -> Compared:
    """The merged model's predictions against the reference.

    Args:
        reference: What base + adapter said.
        merged: The model, reloaded from disk in the reference's arithmetic.
        dtype: The number format that its weights are stored in.
    """
    said, expected = ask(merged, reference.probes), reference.said
    agreed = sum(
        int((found.argmax(-1) == logits.argmax(-1)).sum())
        for found, logits in zip(said.logits, expected.logits, strict=True)
    )
    positions = sum(len(found) for found in said.logits)
    tolerance = tolerance_for(dtype, reference)
    mean_kl, worst, effect = said.divergence_from(expected), _largest_difference(said, expected), reference.adapter_kl
    if not (math.isfinite(mean_kl) and math.isfinite(worst)):
        raise ExportError("The merged model predicts NaN or infinity.", "Merge with dtype bfloat16 or float32.")
    found = Verification(
        status=_status(mean_kl, worst, effect, tolerance),
        max_abs_logit_difference=worst,
        mean_kl=mean_kl,
        greedy_agreement=agreed / positions,
        adapter_kl=effect,
        prompts=len(said.logits),
        positions=positions,
        prompt_source=reference.probes.source,
        arithmetic=str(reference.arithmetic),
        tolerance=tolerance,
    )
    return Compared(found, said)


def tolerance_for(dtype: str, reference: Reference) -> Tolerance:
    """The widest of what storing and what computing in these formats costs, in general and as measured here."""
    known = max((TOLERANCES[dtype], TOLERANCES[reference.arithmetic.dtype]), key=lambda t: t.mean_kl)
    measured = reference.rounding
    return Tolerance(
        max_abs_logit_difference=max(
            known.max_abs_logit_difference, ROUNDING_MARGIN * measured.max_abs_logit_difference
        ),
        mean_kl=max(known.mean_kl, ROUNDING_MARGIN * measured.mean_kl),
    )


def _status(mean_kl: float, worst: float, effect: float, tolerance: Tolerance) -> CheckStatus:
    within = mean_kl <= tolerance.mean_kl and worst <= tolerance.max_abs_logit_difference
    noise = tolerance.mean_kl / 10  # below this both are rounding, and their ratio says nothing
    if not within or (effect > noise and mean_kl > LOST_SHARE * effect):
        return "fail"
    return "warn" if mean_kl > NOTABLE_SHARE * effect else "pass"


def reload(folder: Path, arithmetic: Arithmetic, settings: Settings) -> Any:
    """A model from disk, for comparing."""
    if arithmetic.from_disk:
        return Offloaded(folder, arithmetic.dtype, settings)
    return load_base(folder, dtype=arithmetic.dtype, settings=settings)


def ask(model: Any, probes: Probes) -> Said:
    """What a model says on the probes."""
    logits, losses, tokens = [], [], []
    places = max(1, POSITIONS // len(probes.probes))
    together = _ask_together(model, probes) if isinstance(model, Offloaded) else None
    for number, probe in enumerate(probes.probes):
        answer = _read(_ask(model, probe) if together is None else together[number], probe, places)
        logits.append(answer.logits)
        losses.append(answer.loss)
        tokens.append(len(probe.ids) - probe.answer_at)
    return Said(tuple(logits), tuple(losses), tuple(tokens))


class _Answer(NamedTuple):
    logits: "torch.Tensor"
    loss: float


def _ask(model: Any, probe: Probe) -> "torch.Tensor":
    import torch

    with torch.inference_mode():
        return model(input_ids=torch.tensor([probe.ids], device=model.device), use_cache=False).logits[0]


def _ask_together(model: Offloaded, probes: Probes) -> "torch.Tensor":
    """All probes in one pass, since each pass reads the whole model; what stands behind a text does not change it."""
    import torch

    length = max(len(probe.ids) for probe in probes.probes)
    ids = torch.tensor([[*probe.ids, *(0,) * (length - len(probe.ids))] for probe in probes.probes])
    mask = torch.tensor([[1] * len(probe.ids) + [0] * (length - len(probe.ids)) for probe in probes.probes])
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=mask, use_cache=False).logits


def _read(logits: "torch.Tensor", probe: Probe, count: int) -> _Answer:
    import torch

    ids = torch.tensor(probe.ids, device=logits.device)
    places = torch.linspace(0, len(probe.ids) - 1, min(count, len(probe.ids))).round().long()
    before = logits[probe.answer_at - 1 : len(probe.ids) - 1].float()  # a token is predicted at the place before it
    loss = torch.nn.functional.cross_entropy(before, ids[probe.answer_at :], reduction="sum")
    return _Answer(logits[places.to(logits.device)].float().cpu(), float(loss))


def _largest_difference(one: Said, other: Said) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(one.logits, other.logits, strict=True))


def _kl(expected: "torch.Tensor", found: "torch.Tensor") -> "torch.Tensor":
    """KL(expected || found) in nats at each position."""
    return (expected.exp() * (expected - found)).sum(-1)


def _mean(divergences: "list[torch.Tensor]") -> float:
    import torch

    mean = float(torch.cat(divergences).mean())
    return 0.0 if -1e-6 < mean < 0 else mean  # rounding can put a zero divergence below zero
