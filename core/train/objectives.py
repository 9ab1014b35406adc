"""What is minimised: the loss of a method, summed over the units that it is a mean of."""

from typing import Any, Protocol

import torch

from ..examples.mask import NOT_TRAINED
from .hyperparameters import BETA, Hyperparameters, Method
from .preferences import DirectPreference, KahnemanTversky, OddsRatio
from .scoring import score


class Objective(Protocol):
    """A method of training as the trainer sees it."""

    apart: bool
    """Whether a row's loss is the same whatever rows are computed beside it."""

    def units(self, inputs: dict[str, Any]) -> int:
        """How many units of this batch the loss is a mean of: trained tokens, or pairs."""
        ...

    def summed(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """The loss, summed over the batch's units, with its gradient."""
        ...

    def begin(self, trainer: Any) -> None:
        """Called once before the first step, with the weights that training begins with."""
        ...

    def noticed(self, training: bool) -> dict[str, float]:
        """Further numbers for the metrics, of the batches of training or of evaluation since the last such call."""
        ...


class SupervisedLoss:
    """Learn the answers: the mean loss of the trained tokens."""

    apart = True

    def units(self, inputs: dict[str, Any]) -> int:
        """The trained tokens."""
        return int((inputs["labels"][:, 1:] != NOT_TRAINED).sum())

    def summed(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """Their losses, added up."""
        return score(model, inputs).losses.sum()

    def begin(self, trainer: Any) -> None:
        """Nothing has to be known before."""

    def noticed(self, training: bool) -> dict[str, float]:
        """Nothing further."""
        return {}


PREFERENCES = {"dpo": DirectPreference, "orpo": OddsRatio, "kto": KahnemanTversky}


def objective_of(method: Method, numbers: Hyperparameters) -> Objective:
    """What the method minimises."""
    return PREFERENCES[method](numbers.beta or BETA) if method in PREFERENCES else SupervisedLoss()
