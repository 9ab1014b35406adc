"""A model's tokenizer and chat template, without torch or transformers."""

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from tokenizers import Encoding

from ..errors import DataError, ModelError
from .fast_tokens import FastTokens, NotReproducible
from .layout import Layouts
from .template import compiled, plain_chatml, render
from .tokenizer_files import NEXT, TokenizerFiles, read_tokenizer_files
from .turns import arguments_of, call_text
from .types import Example, Message, prompt_of

BATCH = 512  # texts encoded at once: enough for all cores, and some MB of memory
SAMPLE = 200  # first texts that are tokenised both ways and must agree ...
CHECK_EVERY = 500  # ... and then one text in so many, to the end
PROBE = "Zq"  # an answer that no template treats specially
LIST_OF_OBJECTS = re.compile(r"\s*\[\s*\{")


class Tokens(Protocol):
    """A text as tokens, and where they stand in it."""

    @property
    def ids(self) -> Sequence[int] | np.ndarray: ...

    def covering(self, start: int, end: int) -> tuple[int, int]:
        """The first token, and the one after the last, that cover at least one character of `start` up to `end`."""
        ...


@dataclass(frozen=True, slots=True)
class Encoded:
    """Tokens by `tokenizers`: `ids[n]` covers the characters `offsets[n][0]` up to `offsets[n][1]` of the text."""

    ids: list[int]
    offsets: list[tuple[int, int]]

    def covering(self, start: int, end: int) -> tuple[int, int]:
        """See `Tokens`."""
        first = bisect_right(self.offsets, start, key=itemgetter(1))
        return first, max(first, bisect_left(self.offsets, end, key=itemgetter(0)))


@dataclass(slots=True)  # not frozen: some are made of every row, and freezing triples the cost
class ByteEncoded:
    """Tokens by tuetoken, one of many texts that were tokenised in a row."""

    text: str
    ids: np.ndarray

    ends: list[int]
    """Where each token of all these texts ends, in bytes of UTF-8 from the start of the first text."""

    place: int
    """Of this text's first token among all."""

    def covering(self, start: int, end: int) -> tuple[int, int]:
        """See `Tokens`."""
        if not self.text.isascii():
            start, end = len(self.text[:start].encode()), len(self.text[:end].encode())
        ends, place, after = self.ends, self.place, self.place + len(self.ids)
        before = ends[place - 1] if place else 0
        first = bisect_right(ends, before + start, place, after)
        last = min(bisect_left(ends, before + end, place, after) + 1, after) if end else place
        return first - place, max(first, last) - place


class ChatTokenizer:
    """Renders and tokenises exactly as transformers' `apply_chat_template` does for the same folder.

    One exception: where a template knows no `tool_calls`, the calls are written into the content as JSON instead of
    being left out in silence.

    Many texts are tokenised by tuetoken, in this thread, where it is proven to give the very tokens of `tokenizers`;
    otherwise by `tokenizers`, on all cores unless TOKENIZERS_PARALLELISM is "false". A process that forks workers calls
    `choose_engine` before, so that they share its memory: neither that nor `load` starts a thread.

    Attributes:
        engine: Whose tokens `encode_many` and `count_many` give at present.
        engine_reason: Why they are not tuetoken's; None when they are.
        folder: Where it lies.
    """

    engine: Literal["tuetoken", "tokenizers"] = "tokenizers"
    engine_reason: str | None = "few texts so far"

    def __init__(self, files: TokenizerFiles) -> None:
        """Made by `load`.

        Raises:
            ModelError: There is neither a chat template nor a token to end a turn with, or the template is not Jinja.
        """
        self._path, self.folder = files.path, files.path.parent
        self._tokenizer = files.tokenizer
        self._fast: FastTokens | None = None
        self._sample: list[str] | None = []  # until the engine is chosen
        self._done = 0  # texts that tuetoken has tokenised
        self._special_tokens = files.special_tokens
        self.adds_bos = files.adds_bos
        self.bos_id = self._special_id("bos_token")
        self.eos_id = self._special_id("eos_token")
        self.pad_id = self._special_id("pad_token")
        self.template_is_default = not files.templates
        self._templates = files.templates or {"default": self._plain_template()}
        self.template = self._templates.get("default") or next(iter(self._templates.values()))
        compiled(self.template)
        self.layouts = Layouts(self.template, {"tools": None, **self._special_tokens})
        ids = (self.eos_id, self._turn_end(), *files.eos_ids)
        self.eos_ids = tuple(dict.fromkeys(token for token in ids if token is not None))
        self.end_texts = tuple(text for text in map(self._tokenizer.id_to_token, self.eos_ids) if text)

    @classmethod
    def load(cls, folder: Path) -> "ChatTokenizer":
        """The tokenizer and template of a model folder.

        Raises:
            ModelError: The folder has no usable tokenizer.json, or a configuration or the template cannot be read.
        """
        return cls(read_tokenizer_files(folder))

    def render(
        self, messages: Iterable[Message], add_generation_prompt: bool = False, tools: list[Any] | None = None
    ) -> str:
        """The conversation as the model's chat template writes it.

        Raises:
            DataError: The template refuses this conversation.
        """
        template = self._templates.get("tool_use", self.template) if tools else self.template
        records = [_record(message, "tool_calls" in template) for message in messages]
        return render(
            template, records, add_generation_prompt=add_generation_prompt, tools=tools, **self._special_tokens
        )

    def prompt(self, example: Example) -> str:
        """The text to generate the example's last answer from: exactly what stands before that answer in training."""
        before = prompt_of(example)
        if isinstance(before, str):
            return self.bos_text(before) + before
        return self.render(before, add_generation_prompt=True, tools=tools_of(example))

    def bos_text(self, text: str) -> str:
        """The begin-of-text token that a plain text still needs: empty when the model has none or the text has it."""
        bos = self._special_tokens.get("bos_token", "")
        return bos if self.adds_bos and not text.startswith(bos) else ""

    def encode(self, text: str) -> list[int]:
        """The text's tokens; no special token is added, those written in the text are recognised."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def encode_with_offsets(self, text: str) -> Encoded:
        """The text's tokens and the characters that each covers."""
        return _encoded(self._tokenizer.encode(text, add_special_tokens=False))

    def choose_engine(self, sample: Iterable[str] = ()) -> None:
        """Take tuetoken from now on if it gives the tokens of `tokenizers` for hard texts and for this sample."""
        self._sample = None
        try:
            fast = FastTokens(self._path, self._tokenizer)
            for text in sample:
                fast.compare(text, self._tokenizer)
                self._done += 1
        except NotReproducible as reason:
            self._fall_back(reason)
        else:
            self._fast, self.engine, self.engine_reason = fast, "tuetoken", None

    def encode_many(self, texts: Iterable[str]) -> Iterator[Tokens]:
        """The tokens of many texts with their places; one batch at a time is in memory."""
        for batch in _batches(texts):
            if self._proven(batch):
                yield from self._encode_fast(batch)
            else:
                yield from map(_encoded, self._tokenizer.encode_batch(batch, add_special_tokens=False))

    def decode(self, ids: Sequence[int], skip_special: bool = True) -> str:
        """The text of tokens; special tokens are left out unless asked for."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=skip_special)

    def count(self, text: str) -> int:
        """How many tokens a text has, special tokens not added."""
        return len(self.encode(text))

    def count_many(self, texts: Iterable[str]) -> list[int]:
        """`count` of many texts."""
        encode = self._tokenizer.encode_batch_fast  # knows no offsets, which takes half the time
        counts: list[int] = []
        for batch in _batches(texts):
            if self._proven(batch):
                counts += [len(one.ids) for one in self._encode_fast(batch)]
            else:
                counts += [len(one) for one in encode(batch, add_special_tokens=False)]
        return counts

    def _proven(self, batch: list[str]) -> bool:
        """Whether tuetoken does this batch; the first texts of all become the sample that it is tried on."""
        if self._sample is not None:
            self._sample += batch[: SAMPLE - len(self._sample)]
            if len(self._sample) == SAMPLE:
                self.choose_engine(self._sample)
        return self._fast is not None

    def _encode_fast(self, batch: list[str]) -> Iterator[Tokens]:
        fast = self._fast
        assert fast is not None
        found = [self._fast_ids(text) for text in batch]
        ends = fast.ends([ids for ids in found if ids is not None])
        place = 0
        for text, ids in zip(batch, found, strict=True):
            if ids is None:
                yield self.encode_with_offsets(text)
            else:
                yield ByteEncoded(text, ids, ends, place)
                place += len(ids)

    def _fast_ids(self, text: str) -> np.ndarray | None:
        """A text's tokens by tuetoken; None when `tokenizers` has to tell them."""
        if self._fast is None or (ids := self._fast.encode(text)) is None:
            return None
        self._done += 1
        if self._done <= SAMPLE or self._done % CHECK_EVERY == 0:
            try:
                self._fast.compare(text, self._tokenizer)
            except NotReproducible as reason:
                self._fall_back(reason)
                return None
        return ids

    def _fall_back(self, reason: NotReproducible) -> None:
        self._fast, self.engine, self.engine_reason = None, "tokenizers", str(reason)

    @property
    def vocabulary_size(self) -> int:
        """How many tokens there are, added ones included."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def token(self, number: int) -> str | None:
        """How the vocabulary writes a token; None where it has none of this number."""
        return self._tokenizer.id_to_token(number)

    def _special_id(self, name: str) -> int | None:
        token = self._special_tokens.get(name)
        return None if token is None else self._tokenizer.token_to_id(token)

    def _plain_template(self) -> str:
        has_end_token = self._tokenizer.token_to_id("<|im_end|>") is not None
        if not has_end_token and self.eos_id is None:
            raise ModelError("The tokenizer has neither a chat template nor an end-of-text token.", NEXT)
        return plain_chatml(has_end_token=has_end_token, with_bos=self.adds_bos)

    def _turn_end(self) -> int | None:
        """The added token that the template writes right after an answer; None when it writes none there."""
        try:
            text = self.render([Message("user", "a"), Message("assistant", PROBE)])
        except DataError:
            return None
        encoded = self.encode_with_offsets(text)
        after = text.rfind(PROBE) + len(PROBE)
        added = self._tokenizer.get_added_tokens_decoder()
        for token, (start, end) in zip(encoded.ids, encoded.offsets, strict=True):
            if end > after and text[start:end].strip():
                return token if token in added and start >= after else None
        return None


def tools_of(example: Example) -> list[Any] | None:
    """The tool definitions that a record carries in `tools`, as a list of objects or as the JSON text of one.

    None without any; another value under this name (`"tools": "hammer, saw"`) is not about tools to call.

    Raises:
        DataError: `tools` is the text of a JSON list that is broken.
    """
    tools = example.fields.get("tools")
    if isinstance(tools, str) and LIST_OF_OBJECTS.match(tools):
        try:
            tools = json.loads(tools)
        except ValueError as error:
            raise DataError("`tools` is not valid JSON.", "Write the tool definitions as a JSON list.") from error
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        return None
    return tools or None


def _record(message: Message, knows_calls: bool) -> dict[str, Any]:
    record: dict[str, Any] = {**message.fields, "role": message.role, "content": message.content}
    if message.name is not None:
        record["name"] = message.name
    if message.tool_calls and knows_calls:
        record["tool_calls"] = [_call(call) for call in message.tool_calls]
    elif message.tool_calls:
        record["content"] = "\n".join(filter(None, [message.content, call_text(message.tool_calls)]))
    return record


def _call(call: Any) -> dict[str, Any]:
    function = call.get("function", {})
    return {**call, "function": {**function, "arguments": arguments_of(function)}}


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(texts)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _encoded(encoding: Encoding) -> Encoded:
    return Encoded(encoding.ids, encoding.offsets)
