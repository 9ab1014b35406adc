"""How the changes of several adapters or models become one: the arithmetic of one weight, by peft's or mergekit's own
functions."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import extras
from .request import BY_MERGEKIT, Strategy

if TYPE_CHECKING:
    import torch

SUMS = ("lora", "linear", "svd", "task_arithmetic")
"""Strategies that add the changes up, so that LoRA's two factors suffice; svd keeps the largest part of the sum."""

DELLA_SPREAD = 0.15
"""DELLA keeps small numbers with a chance this much below the density, and large ones with one as much above it."""

NEARLY_PARALLEL = 0.9995  # above this cosine the sphere is flat: the straight line is the arc, without dividing by zero


@dataclass(frozen=True, slots=True)
class Mix:
    """A strategy with its numbers."""

    strategy: Strategy
    density: float
    """Share of each change that is kept, for the strategies that prune."""
    seed: int
    """Of the random choice in DARE and DELLA."""


def combine(
    mix: Mix, name: str, start: "torch.Tensor", deltas: "Sequence[torch.Tensor]", weights: Sequence[float]
) -> "torch.Tensor":
    """The merged weight in fp32.

    TIES (arXiv 2306.01708) keeps the largest numbers of each change and averages those of the sign that outweighs;
    DARE (arXiv 2311.03099) drops numbers at random and scales the others up; task arithmetic (arXiv 2212.04089) adds
    changes up; SLERP goes along the arc between two weights. Here they work on whole changes, not on LoRA's factors.

    Args:
        mix: The strategy.
        name: The weight's name: with the seed it decides what DARE and DELLA drop.
        start: The base's weight, fp32.
        deltas: What each adapter or model would add to it; zeros from one that leaves it alone.
        weights: The factors on them.
    """
    import torch

    if mix.strategy == "slerp":
        one, two = (start + delta for delta in deltas)
        share = weights[1] / (weights[0] + weights[1])
        return slerp(one, two, share)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(mix.seed ^ zlib.crc32(name.encode()))
        by = _by_mergekit if mix.strategy in BY_MERGEKIT else _by_peft
        return by(mix, start, deltas, weights)


def _by_peft(
    mix: Mix, start: "torch.Tensor", deltas: "Sequence[torch.Tensor]", weights: Sequence[float]
) -> "torch.Tensor":
    import torch

    merging = extras.require("peft.utils.merge_utils", "Merging several adapters")
    factors = torch.tensor(weights)
    prunes = {"ties": merging.ties, "dare_ties": merging.dare_ties, "dare_linear": merging.dare_linear}
    if mix.strategy in prunes and mix.density < 1:
        return start + prunes[mix.strategy](list(deltas), factors, mix.density)
    if mix.strategy in ("ties", "dare_ties"):
        stacked = torch.stack(list(deltas))
        mask = merging.calculate_majority_sign_mask(stacked)
        return start + merging.disjoint_merge(stacked * merging.reshape_weight_task_tensors(stacked, factors), mask)
    return start + merging.task_arithmetic(list(deltas), factors)


def _by_mergekit(
    mix: Mix, start: "torch.Tensor", deltas: "Sequence[torch.Tensor]", weights: Sequence[float]
) -> "torch.Tensor":
    """Breadcrumbs (arXiv 2312.06795), DELLA (2406.11617), Model Stock (2403.19522), Karcher mean (2603.04972), SCE
    (2408.07990) and NuSLERP, which goes along the arc between two changes."""
    methods = extras.require("mergekit.merge_methods", "Merging several adapters")
    method = methods.get(mix.strategy)
    takes = {parameter.name for parameter in method.spec.parameters}
    spread = min(DELLA_SPREAD, 0.9 * min(mix.density, 1 - mix.density))  # so that each chance lies between 0 and 1
    known = {"weight": list(weights), "density": mix.density, "select_topk": mix.density, "epsilon": spread}
    models = [start + delta for delta in deltas]
    parameters = {name: value for name, value in known.items() if name in takes}
    if method.spec.contract.base == methods.BasePolicy.IGNORED:
        return methods.merge_tensors(models, method, parameters=parameters)
    return methods.merge_tensors([start, *models], method, parameters=parameters, base_index=0)


def slerp(one: "torch.Tensor", two: "torch.Tensor", share: float) -> "torch.Tensor":
    """The point at `share` of the way from one weight to the other, along the arc between their directions."""
    import torch

    cosine = float((one * two).sum() / (one.norm() * two.norm()).clamp_min(1e-12))
    if abs(cosine) > NEARLY_PARALLEL:
        return torch.lerp(one, two, share)
    angle = torch.acos(torch.tensor(cosine))
    return (torch.sin((1 - share) * angle) * one + torch.sin(share * angle) * two) / torch.sin(angle)


def truncated(left: "torch.Tensor", right: "torch.Tensor", rank: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """The best approximation of left @ right of this rank, again as two factors.

    The product's singular values are those of the small matrix between the factors' orthonormal bases, so that the
    whole product is never decomposed.
    """
    import torch

    q_left, r_left = torch.linalg.qr(left)
    q_right, r_right = torch.linalg.qr(right.T)
    u, s, v = torch.linalg.svd(r_left @ r_right.T, full_matrices=False)
    return q_left @ (u[:, :rank] * s[:rank]), v[:rank] @ q_right.T
