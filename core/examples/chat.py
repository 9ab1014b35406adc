"""A model's tokenizer and chat template, without torch or transformers."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Encoding, Tokenizer

from ..errors import DataError, ModelError
from .template import compiled, plain_chatml, render
from .turns import arguments_of, call_text
from .types import Example, Message, prompt_of

PROBE = "Zq"  # an answer that no template treats specially
NEXT = "Choose a model folder that holds tokenizer.json and tokenizer_config.json."


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as tokens: `ids[n]` covers the characters `offsets[n][0]` up to `offsets[n][1]` of the text."""

    ids: list[int]
    offsets: list[tuple[int, int]]


class ChatTokenizer:
    """Renders and tokenises exactly as transformers' `apply_chat_template` does for the same folder.

    One exception: where a template knows no `tool_calls`, the calls are written into the content as JSON instead of
    being left out in silence.
    """

    def __init__(
        self, tokenizer: Tokenizer, templates: dict[str, str], named: dict[str, str], eos_ids: list[int]
    ) -> None:
        """Built by `load`; `named` are special tokens by name, `eos_ids` those the model's configuration names."""
        self._named = named
        self.bos_id = _id(tokenizer, named.get("bos_token"))
        self.adds_bos = _adds_bos(tokenizer, self.bos_id)
        # Post-processors add special tokens, which we never want, and may trim offsets, which would shift the mask.
        tokenizer.post_processor = None  # type: ignore[assignment]
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.eos_id = _id(tokenizer, named.get("eos_token"))
        self.pad_id = _id(tokenizer, named.get("pad_token"))
        self.template_is_default = not templates
        if not templates:
            has_end = tokenizer.token_to_id("<|im_end|>") is not None
            if not has_end and self.eos_id is None:
                raise ModelError("The tokenizer has neither a chat template nor an end-of-text token.", NEXT)
            templates = {"default": plain_chatml(has_end_token=has_end, with_bos=self.adds_bos)}
        self._templates = templates
        self.template = templates.get("default") or next(iter(templates.values()))
        compiled(self.template)
        self.turn_end_id = self._turn_end()
        ids = [self.eos_id, self.turn_end_id, *eos_ids]
        self.eos_ids = tuple(dict.fromkeys(token for token in ids if token is not None))
        self.end_texts = tuple(text for text in map(tokenizer.id_to_token, self.eos_ids) if text)

    @classmethod
    def load(cls, folder: Path) -> "ChatTokenizer":
        """Read tokenizer.json, its configuration, the chat template and the generation configuration of a folder.

        Raises:
            ModelError: The folder has no usable tokenizer.json, or a configuration is not JSON.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelError(f"No tokenizer.json in {folder}.", NEXT)
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises nothing narrower
            raise ModelError(f"{path} is not a tokenizer: {error}", NEXT) from error
        config = _json(folder / "tokenizer_config.json")
        _add_missing_tokens(tokenizer, config)
        named = _named_tokens({**_json(folder / "special_tokens_map.json"), **config})
        eos_ids = [*_eos_ids(_json(folder / "generation_config.json")), *_eos_ids(_json(folder / "config.json"))]
        return cls(tokenizer, _templates(folder, config), named, eos_ids)

    def render(
        self, messages: Iterable[Message], add_generation_prompt: bool = False, tools: list[Any] | None = None
    ) -> str:
        """The conversation as the model's chat template writes it.

        Raises:
            DataError: The template refuses this conversation.
        """
        template = self._templates.get("tool_use", self.template) if tools else self.template
        records = [_record(message, "tool_calls" in template) for message in messages]
        return render(template, records, add_generation_prompt=add_generation_prompt, tools=tools, **self._named)

    def prompt(self, example: Example) -> str:
        """The text to generate the example's last answer from: exactly what stands before that answer in training."""
        before = prompt_of(example)
        if isinstance(before, str):
            return self.bos_text(before) + before
        return self.render(before, add_generation_prompt=True, tools=tools_of(example))

    def bos_text(self, text: str) -> str:
        """The begin-of-text token that a plain text still needs: empty when the model has none or the text has it."""
        bos = self._named.get("bos_token", "")
        return bos if self.adds_bos and not text.startswith(bos) else ""

    def encode(self, text: str) -> list[int]:
        """The text's tokens; no special token is added, those written in the text are recognised."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def encode_with_offsets(self, text: str) -> Encoded:
        """The text's tokens and the characters that each covers."""
        return _encoded(self._tokenizer.encode(text, add_special_tokens=False))

    def encode_many(self, texts: Sequence[str]) -> list[Encoded]:
        """`encode_with_offsets` of many texts at once, on all cores."""
        return [_encoded(one) for one in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int], skip_special: bool = True) -> str:
        """The text of tokens; special tokens are left out unless asked for."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=skip_special)

    def count(self, text: str) -> int:
        """How many tokens a text has, special tokens not added."""
        return len(self.encode(text))

    def count_many(self, texts: Sequence[str]) -> list[int]:
        """`count` of many texts at once, on all cores."""
        return [len(one) for one in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    @property
    def vocabulary_size(self) -> int:
        """How many tokens there are, added ones included."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

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
    """The tool definitions that a record carries in `tools`, as a list or as JSON text; None without any.

    Raises:
        DataError: `tools` is text but not a JSON list.
    """
    tools = example.fields.get("tools")
    if isinstance(tools, str) and tools.strip():
        try:
            tools = json.loads(tools)
        except ValueError as error:
            raise DataError("`tools` is not JSON.", "Write the tool definitions as a JSON list.") from error
    if not tools:
        return None
    if not isinstance(tools, list):
        raise DataError("`tools` is not a list.", "Write the tool definitions as a JSON list.")
    return tools


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


def _encoded(encoding: Encoding) -> Encoded:
    return Encoded(encoding.ids, encoding.offsets)


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}", "Repair the file or download the model again.") from error
    return value if isinstance(value, dict) else {}


def _templates(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    """Chat templates by name; files win over the configuration, as in transformers."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        more = sorted((folder / "additional_chat_templates").glob("*.jinja"))
        return {"default": file.read_text(encoding="utf-8"), **{one.stem: one.read_text("utf-8") for one in more}}
    template = _json(folder / "chat_template.json").get("chat_template") or config.get("chat_template")
    if isinstance(template, list):
        return {one["name"]: one["template"] for one in template}
    if isinstance(template, dict):
        return template
    return {"default": template} if template else {}


def _text(token: Any) -> str | None:
    return token.get("content") if isinstance(token, dict) else token if isinstance(token, str) else None


def _named_tokens(config: dict[str, Any]) -> dict[str, str]:
    more = config.get("extra_special_tokens")
    entries = {**config, **(more if isinstance(more, dict) else {})}
    named = {key: _text(value) for key, value in entries.items() if key.endswith("_token")}
    return {key: text for key, text in named.items() if text is not None}


def _add_missing_tokens(tokenizer: Tokenizer, config: dict[str, Any]) -> None:
    """Tokens that only tokenizer_config.json knows, as transformers adds them."""
    listed = config.get("added_tokens_decoder", {})
    for _, token in sorted(listed.items(), key=lambda item: int(item[0])):
        if tokenizer.token_to_id(token["content"]) is None:
            flags = {key: token[key] for key in ("single_word", "lstrip", "rstrip", "normalized") if key in token}
            tokenizer.add_tokens([AddedToken(token["content"], special=token.get("special", False), **flags)])


def _eos_ids(config: dict[str, Any]) -> list[int]:
    ids = config.get("eos_token_id")
    return [one for one in (ids if isinstance(ids, list) else [ids]) if isinstance(one, int)]


def _id(tokenizer: Tokenizer, token: str | None) -> int | None:
    return None if token is None else tokenizer.token_to_id(token)


def _adds_bos(tokenizer: Tokenizer, bos_id: int | None) -> bool:
    return bos_id is not None and tokenizer.encode("a").ids[:1] == [bos_id]
