"""A model in two halves: what it makes of tokens, and how likely that makes the next ones."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from ...models.load import base_of

TOKENS_AT_ONCE = 8_192  # beyond it a batch does not get faster, only larger
LOGITS_AT_ONCE = 1 << 23  # numbers, 32 MB in float32: memory that is used again and again stays quick
MOST_LOGITS = 100_000_000  # numbers, 400 MB, of a model that makes those of all tokens at once
TRIED_TOKENS = 8


class Predictor:
    """Reads tokens and says how likely each next token was.

    The output layer makes a number for every word of the vocabulary, some hundred times as many as the states that it
    reads. Where it is a step of its own, it works on a few tokens at a time. Where a model does more to its logits,
    such as capping them, the model makes them all at once.
    """

    def __init__(self, model: Any) -> None:
        """Try on a few tokens whether the output layer alone makes the model's logits of its states."""
        self.model = model
        base = base_of(model)
        self._backbone, self._head = base.base_model, base.get_output_embeddings()
        self.makes_logits_apart = self._head is not None and self._backbone is not base and self._agrees()

    @property
    def tokens_at_once(self) -> int:
        """How many tokens a batch may have."""
        return TOKENS_AT_ONCE if self.makes_logits_apart else max(1, min(TOKENS_AT_ONCE, MOST_LOGITS // self._words))

    @property
    def layers(self) -> Sequence[Any]:
        """The model's layers, one behind the other; none where they are not found."""
        count = getattr(self.model.config.get_text_config(), "num_hidden_layers", None)
        lists = (one for one in self._backbone.modules() if isinstance(one, torch.nn.ModuleList) and len(one) == count)
        return list(next(lists, ()))

    @property
    def _words(self) -> int:
        return self.model.config.get_text_config().vocab_size

    def read(self, **given: Any) -> Any:
        """What the model's own forward gives for these inputs; of a model in halves, the first half's part."""
        return (self._backbone if self.makes_logits_apart else self.model)(**given)

    def states(self, output: Any) -> torch.Tensor:
        """(texts, length, ...): what `nll` works on."""
        return output.last_hidden_state if self.makes_logits_apart else output.logits

    def nll(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """float64, shaped as targets: minus the log-likelihood of each, in nats.

        Args:
            states: From `states`, one for each target.
            targets: Token ids.
        """
        flat = states.flatten(0, -2)
        size = max(1, LOGITS_AT_ONCE // self._words)
        parts = zip(flat.split(size), targets.flatten().split(size), strict=True)
        found = [cross_entropy(self._logits(part).float(), wanted, reduction="none").double() for part, wanted in parts]
        return torch.cat(found).view(targets.shape)

    def _logits(self, states: torch.Tensor) -> torch.Tensor:
        return self._head(states) if self.makes_logits_apart else states

    @torch.inference_mode()
    def _agrees(self) -> bool:
        ids = torch.arange(TRIED_TOKENS, device=self.model.device)[None]
        logits = self.model(input_ids=ids, use_cache=False).logits
        return torch.equal(logits, self._head(self._backbone(input_ids=ids, use_cache=False).last_hidden_state))
