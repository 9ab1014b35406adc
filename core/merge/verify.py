"""The proof of a merge: what was written, reloaded from disk, predicts what base + adapter predict."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import extras
from ..checks import CheckStatus
from ..errors import ExportError
from ..models.load import attach_adapter, load_base
from ..models.machine import look
from ..settings import Settings
from .checkpoint import Checkpoint
from .plan import Weighted
from .probes import Probe, Probes
from .result import Tolerance, Verification

if TYPE_CHECKING:
    import torch

POSITIONS = 32
"""Compared positions of one probe, spread over it: enough to see, few enough that a large vocabulary fits memory."""

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
class Reference:
    """What base + adapter predict on the probes."""

    probes: Probes
    log_probabilities: "tuple[torch.Tensor, ...]"
    logits: "tuple[torch.Tensor, ...]"
    adapter_kl: float
    arithmetic: str
    rounding: Tolerance
    """What storing the merged weights in their number format changes, with nothing else done to them."""


def arithmetic_for(base: Checkpoint) -> str:
    """float32 where the model fits in it, so that only the stored weights' rounding shows; else the machine's own."""
    import psutil

    torch = extras.require("torch", "Verifying a merge")
    machine = look()
    free = torch.cuda.mem_get_info()[0] if machine.device == "cuda" else psutil.virtual_memory().available
    return "float32" if base.parameters * 4 < FITS * free else machine.dtype


@dataclass(frozen=True)
class Unmerged:
    """A base with its adapters beside it: what a merged model has to equal."""

    base: Checkpoint
    adapters: Sequence[Weighted]
    vocabulary: int | None = None
    """Embedding rows where adapters bring some for added tokens."""

    def load(self, arithmetic: str, settings: Settings) -> Any:
        """It in memory, by peft, which shares no code with the merge."""
        model = load_base(self.base.folder, dtype=arithmetic, settings=settings)
        if self.vocabulary:
            model.resize_token_embeddings(self.vocabulary, mean_resizing=False)
        return attach(model, self.adapters)


def measure_reference(
    unmerged: Unmerged, probes: Probes, arithmetic: str, rounded_to: str | None, settings: Settings
) -> Reference:
    """Ask base + adapters, unmerged; and again merged and rounded to a number format, to know what that alone costs.

    `rounded_to` is None where peft cannot merge what lies in memory (an adapter on tied embeddings).
    """
    model = unmerged.load(arithmetic, settings)
    logits = tuple(_logits(model, probe) for probe in probes.probes)
    log_probabilities = tuple(one.log_softmax(-1) for one in logits)
    with model.disable_adapter():
        plain = tuple(_logits(model, probe).log_softmax(-1) for probe in probes.probes)
    effect = _mean([_kl(full, base_only) for full, base_only in zip(log_probabilities, plain, strict=True)])
    live = Reference(probes, log_probabilities, logits, effect, arithmetic, NO_ROUNDING)
    return live if rounded_to is None else replace(live, rounding=_cost_of_rounding(live, model, rounded_to))


def _cost_of_rounding(live: Reference, model: Any, dtype: str) -> Tolerance:
    _merge_and_round(model, dtype)
    rounded = [_logits(model, probe) for probe in live.probes.probes]
    return Tolerance(
        max_abs_logit_difference=max(float((a - b).abs().max()) for a, b in zip(rounded, live.logits, strict=True)),
        mean_kl=_mean([_kl(p, r.log_softmax(-1)) for p, r in zip(live.log_probabilities, rounded, strict=True)]),
    )


def _merge_and_round(model: Any, dtype: str) -> None:
    """Merge by peft, which shares no code with ours, and round every weight as storing it would."""
    import torch

    model.merge_adapter()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(getattr(torch, dtype)))


def attach(model: Any, adapters: Sequence[Weighted]) -> Any:
    """The base with every adapter active, each at its weight."""
    if len(adapters) == 1 and adapters[0].weight == 1:
        return attach_adapter(model, adapters[0].adapter.folder)
    from peft.tuners.lora import LoraLayer

    attached: Any = attach_adapter(model, adapters[0].adapter.folder)
    names = ["default", *(f"adapter_{number}" for number in range(1, len(adapters)))]
    for name, entry in list(zip(names, adapters, strict=True))[1:]:
        attached.load_adapter(str(entry.adapter.folder), adapter_name=name)
    attached.base_model.set_adapter(names)  # all of them active at once: their changes add up
    for module in attached.modules():
        if isinstance(module, LoraLayer):
            for name, entry in zip(names, adapters, strict=True):
                if name in module.scaling:
                    module.set_scale(name, entry.weight)
    return attached.eval()


def compare(reference: Reference, merged: Any, dtype: str) -> Verification:
    """The merged model's predictions against the reference.

    Args:
        reference: What base + adapter said.
        merged: The model, reloaded from disk in the reference's arithmetic.
        dtype: The number format that its weights are stored in.
    """
    divergences, differences, agreed, positions = [], [0.0], 0, 0
    for probe, logits, expected in zip(
        reference.probes.probes, reference.logits, reference.log_probabilities, strict=True
    ):
        found = _logits(merged, probe)
        divergences.append(_kl(expected, found.log_softmax(-1)))
        differences.append(float((found - logits).abs().max()))
        agreed += int((found.argmax(-1) == logits.argmax(-1)).sum())
        positions += len(found)
    tolerance = tolerance_for(dtype, reference)
    mean_kl, worst = _mean(divergences), max(differences)
    if not (math.isfinite(mean_kl) and all(map(math.isfinite, differences))):
        raise ExportError("The merged model predicts NaN or infinity.", "Merge with dtype bfloat16 or float32.")
    return Verification(
        status=_status(mean_kl, worst, reference.adapter_kl, tolerance),
        max_abs_logit_difference=worst,
        mean_kl=mean_kl,
        greedy_agreement=agreed / positions,
        adapter_kl=reference.adapter_kl,
        prompts=len(divergences),
        positions=positions,
        prompt_source=reference.probes.source,
        arithmetic=reference.arithmetic,
        tolerance=tolerance,
    )


def tolerance_for(dtype: str, reference: Reference) -> Tolerance:
    """The widest of what storing and what computing in these formats costs, in general and as measured here."""
    known = max((TOLERANCES[dtype], TOLERANCES[reference.arithmetic]), key=lambda t: t.mean_kl)
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


def reload(folder: Path, arithmetic: str, settings: Settings) -> Any:
    """A model from disk, for comparing."""
    return load_base(folder, dtype=arithmetic, settings=settings)


def _logits(model: Any, probe: Probe) -> "torch.Tensor":
    """Logits at up to POSITIONS places of a probe, shape (positions, vocabulary), fp32 on the CPU."""
    import torch

    with torch.inference_mode():
        ids = torch.tensor([probe.ids], device=model.device)
        places = torch.linspace(0, len(probe.ids) - 1, min(POSITIONS, len(probe.ids))).round().long()
        return model(input_ids=ids, use_cache=False).logits[0, places.to(model.device)].float().cpu()


def _kl(expected: "torch.Tensor", found: "torch.Tensor") -> "torch.Tensor":
    """KL(expected || found) in nats at each position."""
    return (expected.exp() * (expected - found)).sum(-1)


def _mean(divergences: "list[torch.Tensor]") -> float:
    import torch

    mean = float(torch.cat(divergences).mean())
    return 0.0 if -1e-6 < mean < 0 else mean  # rounding can put a zero divergence below zero
