"""The models that run here, one after the other, with as little loading as possible."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from ..examples.chat import ChatTokenizer
from ..examples.mask import Tokenized
from ..garbage import give_back_memory
from ..models.generate import Generation, generate
from ..models.load import attach_adapter, load_base
from ..settings import Settings
from .local import choices, likelihood
from .local.choices import Choices
from .local.likelihood import ItemLikelihood
from .local.told import OnTokens
from .request import is_adapter

Side = Literal["base", "finetuned"]
Measure = Callable[[Side, Any], None]
OnDone = Callable[[int], None]
"""Called with how many are done by now; may raise to stop."""

BATCH_SIZE = 32  # at most; on a CPU a step of 32 answers costs hardly more than one of 8
ALONE = 4_096  # tokens of prompts beyond which one goes alone: unpadded it needs no mask, and attention half the work
PROMPT_TOKENS_AT_ONCE = 16_384  # in a batch: their state takes memory, and nothing is heard of until they are read


class Contestant(Protocol):
    """A model that is measured; what it says comes in the order of what it was given."""

    def likelihoods(self, items: Sequence[Tokenized], on_tokens: OnTokens) -> list[ItemLikelihood]:
        """How well it predicts texts."""
        ...

    def answers(self, prompts: Sequence[str], max_new_tokens: int, on_done: OnDone) -> list[Generation]:
        """Its greedy answers."""
        ...

    def choices(self, items: Sequence[Choices], on_done: OnDone) -> list[list[float]]:
        """The summed negative log likelihood of each continuation, nats."""
        ...


class LoadedModel:
    """A model of transformers, in evaluation mode."""

    def __init__(self, model: Any, tokenizer: ChatTokenizer) -> None:
        self.model, self._tokenizer = model, tokenizer

    def likelihoods(self, items: Sequence[Tokenized], on_tokens: OnTokens) -> list[ItemLikelihood]:
        """See Contestant."""
        return likelihood.measure(self.model, items, on_tokens)

    def answers(self, prompts: Sequence[str], max_new_tokens: int, on_done: OnDone) -> list[Generation]:
        """See Contestant."""
        found: dict[int, Generation] = {}
        for size, places in self._batches(prompts):
            told = generate(
                self.model, self._tokenizer, [prompts[i] for i in places],
                max_new_tokens=max_new_tokens, batch_size=size, on_done=_after(len(found), on_done),
            )  # fmt: skip
            found.update(zip(places, told, strict=True))
        return [found[i] for i in range(len(prompts))]

    def _batches(self, prompts: Sequence[str]) -> list[tuple[int, list[int]]]:
        """Batch sizes and the places of the prompts that are short enough for them; the longest first."""
        by_size: dict[int, list[int]] = {}
        for place, tokens in enumerate(self._tokenizer.count_many(list(prompts))):
            size = PROMPT_TOKENS_AT_ONCE >> (max(tokens, 1) - 1).bit_length() if tokens <= ALONE else 1
            by_size.setdefault(min(BATCH_SIZE, max(1, size)), []).append(place)
        return sorted(by_size.items())

    def choices(self, items: Sequence[Choices], on_done: OnDone) -> list[list[float]]:
        """See Contestant."""
        return choices.nll(self.model, items, on_done)


def _after(before: int, on_done: OnDone) -> OnDone:
    """Counts on from those that were done before."""
    return lambda done: on_done(before + done)


def visit(base_path: Path, finetuned_path: Path | None, settings: Settings, measure: Measure) -> None:
    """Call `measure` with the loaded base, then with the fine-tuned model unless there is none.

    An adapter is switched off and on again on one loaded model; a whole fine-tuned model is loaded after the base
    was let go of, so that there is never more than one in memory.
    """
    model = load_base(base_path, settings=settings)
    if finetuned_path is not None and is_adapter(finetuned_path):
        adapted = attach_adapter(model, finetuned_path)
        with adapted.disable_adapter():
            measure("base", adapted)
        measure("finetuned", adapted)
        return
    measure("base", model)
    if finetuned_path is not None:
        del model
        give_back_memory()
        measure("finetuned", load_base(finetuned_path, settings=settings))
