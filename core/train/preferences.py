"""Preference methods: DPO, ORPO and KTO on pairs of a chosen and a rejected answer to the same prompt."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from ..examples.mask import NOT_TRAINED
from . import distributed
from .references import INPUTS, log_probabilities, remember_references


@dataclass(frozen=True, slots=True)
class Judged:
    """A batch of pairs as a method sees it; all float32 (pairs,)."""

    losses: torch.Tensor
    """With the gradient."""

    chosen_rewards: torch.Tensor
    """How much the model prefers the chosen answers, as the method measures it; without gradient."""

    rejected_rewards: torch.Tensor


class PreferenceLoss:
    """What the three methods share: a mean over pairs, and how often and how far the chosen answer is ahead."""

    has_reference = True
    apart = True

    def __init__(self, beta: float) -> None:
        self.beta = beta
        self._noted: dict[bool, list[torch.Tensor]] = defaultdict(list)

    def judge(self, model: Any, inputs: dict[str, Any]) -> Judged:
        """The losses and rewards of a batch of pairs, as `PairCollator` makes it."""
        raise NotImplementedError

    def begin(self, trainer: Any) -> None:
        """Keep how likely the model finds every answer before the first step, where the method compares with that."""
        if self.has_reference:
            remember_references(trainer)

    def units(self, inputs: dict[str, Any]) -> int:
        """The pairs."""
        return len(inputs["references"])

    def summed(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """Their losses, added up; a pair without a trained token is a filler, and stands for none."""
        judged = self.judge(model, inputs)
        real = (inputs["labels"][:, 1:] != NOT_TRAINED).any(1).view(-1, self.units(inputs)).any(0)
        margins = (judged.chosen_rewards - judged.rejected_rewards).detach()[real]
        ahead = (margins > 0).float()
        self._noted[model.training].append(torch.stack([margins.sum(), ahead.sum(), torch.ones_like(ahead).sum()]))
        return judged.losses[real].sum()

    def noticed(self, training: bool) -> dict[str, float]:
        """reward_margin: mean of chosen minus rejected reward; reward_accuracy: share of pairs where it is positive."""
        counted = torch.stack(self._noted.pop(training, [torch.zeros(3)])).sum(0)
        margin, ahead, pairs = distributed.total(counted.tolist(), counted.device)
        return {"reward_margin": margin / pairs, "reward_accuracy": ahead / pairs} if pairs else {}


class DirectPreference(PreferenceLoss):
    """DPO: raise the chosen answer over the rejected one, compared with the base (arXiv 2305.18290, equation 7)."""

    def judge(self, model: Any, inputs: dict[str, Any]) -> Judged:
        """Minus the log of the sigmoid of the rewards' difference; reward: beta times the log-ratio to the base."""
        chosen, rejected = log_probabilities(model, inputs, parts=2) - inputs["references"].T
        losses = -functional.logsigmoid(self.beta * (chosen - rejected))
        return Judged(losses, self.beta * chosen.detach(), self.beta * rejected.detach())


class OddsRatio(PreferenceLoss):
    """ORPO: learn the chosen answer, and raise its odds over the rejected one's (arXiv 2403.07691, equation 6).

    The first part is the mean over the answer's tokens; TRL's trainer takes the prompt's too, which is no answer.
    """

    has_reference = False

    def judge(self, model: Any, inputs: dict[str, Any]) -> Judged:
        """The chosen answer's loss, plus beta times minus the log of the sigmoid of the log odds ratio."""
        lengths = (inputs["labels"][:, 1:] != NOT_TRAINED).sum(1).view(2, -1).clamp(min=1)  # a filler has none
        chosen, rejected = log_probabilities(model, inputs, parts=2) / lengths
        log_odds = chosen - rejected - (_log_of_rest(chosen) - _log_of_rest(rejected))
        losses = -chosen - self.beta * functional.logsigmoid(log_odds)
        return Judged(losses, self.beta * chosen.detach(), self.beta * rejected.detach())


class KahnemanTversky(PreferenceLoss):
    """KTO: chosen answers gain and rejected ones lose, measured from the drift of the model (arXiv 2402.01306, eq. 8).

    The drift is the mean log-ratio of mismatched answers: those of another pair after this prompt. Both sides weigh
    the same, since there are as many of each.
    """

    apart = False  # the drift is a mean over the batch

    def judge(self, model: Any, inputs: dict[str, Any]) -> Judged:
        """The mean of both answers' losses, one minus the sigmoid of the reward beyond the drift, or short of it."""
        pairs = self.units(inputs)
        with torch.no_grad():
            mismatched = log_probabilities(model, _rows(inputs, 2 * pairs, 4 * pairs), parts=2)
        drift = (mismatched - inputs["references"].T[2:]).mean().clamp(min=0)
        chosen, rejected = log_probabilities(model, _rows(inputs, 0, 2 * pairs), parts=2) - inputs["references"].T[:2]
        gains, losses = torch.sigmoid(self.beta * (chosen - drift)), torch.sigmoid(self.beta * (drift - rejected))
        return Judged(1 - (gains + losses) / 2, self.beta * chosen.detach(), self.beta * rejected.detach())


def _rows(inputs: dict[str, Any], start: int, end: int) -> dict[str, Any]:
    return {name: inputs[name][start:end] for name in INPUTS}


def _log_of_rest(log_probability: torch.Tensor) -> torch.Tensor:
    """log(1 - p) from log p, below 0 even where p is 1 in float32."""
    return torch.log(-torch.expm1(log_probability.clamp(max=-1e-6)))
