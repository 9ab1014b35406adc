"""A GGUF file as a contestant: llama.cpp asks it in a process of its own, with the base's prompts and tokens."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

from ...checks import Check
from ...errors import ModelError
from ...examples.chat import ChatTokenizer
from ...examples.mask import NOT_TRAINED, Tokenized
from ...models.generate import Generation, generation_of
from ...models.gguf.engines import Text
from ...models.gguf.model import GgufModel
from ...models.gguf.summary import summarise, vocabulary
from ...models.source import read_config
from ...runs.active import ActiveRun
from ..contestants import OnDone
from . import windows
from .choices import Choices
from .likelihood import NOTHING, ItemLikelihood
from .subject import LocalSubject
from .told import OnTokens
from .windows import Piece

SAME_SHARE = 0.99  # of the vocabulary; added tokens may differ in a few


class GgufContestant:
    """The file, asked as the base is asked."""

    def __init__(self, path: Path, local: LocalSubject, run: ActiveRun) -> None:
        """Prove that the file can be loaded and belongs to the base, before anything is measured.

        Raises:
            MissingExtraError: The engine is not installed.
            ModelError: It cannot be loaded, or it was made from another model.
        """
        self._model, self._tokenizer = GgufModel(path, run), local.tokenizer
        self._window = windows.size(read_config(local.base_path).get("max_position_embeddings"))
        _refuse_other_vocabulary(path, local.tokenizer)
        self.checks = (_prompts_check(self._model, local), *_template_check(path, local.tokenizer))

    def likelihoods(self, items: Sequence[Tokenized], on_tokens: OnTokens) -> list[ItemLikelihood]:
        """See Contestant; in the windows in which the base reads."""
        pieces = [piece for number, item in enumerate(items) for piece in windows.pieces_of(number, item, self._window)]
        texts = [Text(tuple(piece.ids), piece.given) for piece in pieces]
        read = list(accumulate((len(piece.ids) for piece in pieces), initial=0))
        told = self._model.losses(texts, lambda done: on_tokens(read[done], read[-1]))
        found = [NOTHING] * len(items)
        for piece, losses in zip(pieces, told, strict=True):
            found[piece.item] += _likelihood(piece, losses)
        return found

    def answers(self, prompts: Sequence[str], max_new_tokens: int, on_done: OnDone) -> list[Generation]:
        """See Contestant; the file's own tokenizer reads the prompts, as it will when it is served."""
        if not prompts:
            return []
        found = self._model.answers(prompts, max_new_tokens, on_done)
        return [generation_of(self._tokenizer, one.ids, stopped=one.stopped) for one in found]

    def choices(self, items: Sequence[Choices], on_done: OnDone) -> list[list[float]]:
        """See Contestant."""
        owners = [number for number, item in enumerate(items) for _ in item.continuations]
        texts = [Text((*item.prompt, *one), len(item.prompt)) for item in items for one in item.continuations]
        sums = map(sum, self._model.losses(texts, _by_owner(owners, on_done)))
        return [[next(sums) for _ in item.continuations] for item in items]


def _by_owner(owners: Sequence[int], on_done: OnDone) -> OnDone:
    """From how many texts are done to how many of what they are parts of."""
    return lambda done: on_done(owners[done] if done < len(owners) else owners[-1] + 1)


def _likelihood(piece: Piece, losses: Sequence[float]) -> ItemLikelihood:
    answer = [label != NOT_TRAINED for label in piece.labels[piece.given :]]
    of_answer = [loss for loss, inside in zip(losses, answer, strict=True) if inside]
    return ItemLikelihood(sum(of_answer), len(of_answer), sum(losses), len(losses))


def _refuse_other_vocabulary(path: Path, tokenizer: ChatTokenizer) -> None:
    theirs = vocabulary(path)
    size = tokenizer.vocabulary_size
    same = sum(tokenizer.token(number) in (None, text) for number, text in enumerate(theirs[:size]))
    if same < SAME_SHARE * size:
        raise ModelError(
            f"'{path.name}' was not made from this base: of the base's {size:,} tokens it has {same:,}.",
            "Give the model that the file was exported from, or its base, as model_name.",
        )


def _prompts_check(model: GgufModel, local: LocalSubject) -> Check:
    asked = [local.subject.prompts[i] for i in local.subject.asked]
    read = model.tokenize(asked)
    other = sum(ids != local.tokenizer.encode(prompt) for ids, prompt in zip(read, asked, strict=True))
    details = "Both were asked with the same prompts, written with the base's chat template."
    if not other:
        details += " The file's own tokenizer makes the same tokens of each."
        return Check(name="same_prompts", status="pass", details=details, count=0)
    details += f" The file's own tokenizer reads {other} of {len(asked)} of them otherwise, as it will when served."
    step = "Export the file again with the tokenizer files that the model was trained with."
    return Check(name="same_prompts", status="warn", details=details, count=other, next_step=step)


def _template_check(path: Path, tokenizer: ChatTokenizer) -> Iterator[Check]:
    own = summarise(path).chat_template
    if own is None or own.strip() == tokenizer.template.strip():
        return
    details = "The file brings another chat template than the base; both were asked with the base's."
    step = "Servers use the file's. If that is the one it was trained with, put it into the base's folder."
    yield Check(name="chat_template", status="warn", details=details, next_step=step)
