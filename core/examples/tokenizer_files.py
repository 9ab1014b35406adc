"""What a model folder says about its tokenizer, read as transformers 5 reads it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, pre_tokenizers

from ..errors import ModelError

NEXT = "Choose a model folder that holds tokenizer.json and tokenizer_config.json."
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """A folder's tokenizer and all that goes with it."""

    path: Path
    """The tokenizer.json that `tokenizer` was made from."""

    tokenizer: Tokenizer
    """Without post-processor, truncation or padding: it encodes the text and nothing more."""

    templates: dict[str, str]
    """Chat templates by name; empty when the folder has none."""

    special_tokens: dict[str, str]
    """bos_token, eos_token, ... as far as they are set."""

    adds_bos: bool
    """Whether the tokenizer starts a plain text with the begin-of-text token."""

    eos_ids: tuple[int, ...]
    """The ids at which the model's configuration says that generation ends."""


def read_tokenizer_files(folder: Path) -> TokenizerFiles:
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
    tokenizer_config = _json(folder / "tokenizer_config.json")
    model_config = _json(folder / "config.json")
    config = {**_json(folder / "special_tokens_map.json"), **tokenizer_config}
    special_tokens = {name: text for name in NAMED if (text := _text(config.get(name))) is not None}
    _add_tokens(tokenizer, config)
    adds_bos = _adds_bos(tokenizer, special_tokens.get("bos_token"), tokenizer_config)
    _rebuild_llama(tokenizer, config, model_config)
    # Post-processors add special tokens, which are never wanted here, and may trim offsets, which would shift masks.
    tokenizer.post_processor = None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    eos_ids = (*_eos_ids(_json(folder / "generation_config.json")), *_eos_ids(model_config))
    return TokenizerFiles(path, tokenizer, _templates(folder, config), special_tokens, adds_bos, eos_ids)


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}", "Repair the file or download the model again.") from error
    return value if isinstance(value, dict) else {}


def _templates(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    """Chat templates by name; files win over the configuration."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        more = sorted((folder / "additional_chat_templates").glob("*.jinja"))
        return {"default": file.read_text("utf-8"), **{one.stem: one.read_text("utf-8") for one in more}}
    template = _json(folder / "chat_template.json").get("chat_template") or config.get("chat_template")
    if isinstance(template, list):
        return {one["name"]: one["template"] for one in template}
    if isinstance(template, dict):
        return template
    return {"default": template} if template else {}


def _text(token: Any) -> str | None:
    return token.get("content") if isinstance(token, dict) else token if isinstance(token, str) else None


def _add_tokens(tokenizer: Tokenizer, config: dict[str, Any]) -> None:
    """Make the tokens that only the configuration knows be recognised in a text."""
    known = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    listed = config.get("added_tokens_decoder", {})
    for _, token in sorted(listed.items(), key=lambda item: int(item[0])):
        if token["content"] not in known:
            tokenizer.add_tokens([_added_token(token)])
            known.add(token["content"])
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    for token in (*(config.get(name) for name in NAMED), *(extra.values() if isinstance(extra, dict) else extra)):
        text = _text(token)
        if text is not None and text not in known:
            tokenizer.add_special_tokens([_added_token(token) if isinstance(token, dict) else text])
            known.add(text)


def _added_token(token: dict[str, Any]) -> AddedToken:
    flags = {key: bool(token[key]) for key in ("single_word", "lstrip", "rstrip", "normalized") if key in token}
    return AddedToken(token["content"], special=bool(token.get("special", False)), **flags)


def _adds_bos(tokenizer: Tokenizer, bos: str | None, config: dict[str, Any]) -> bool:
    if bos is None:
        return False
    if "add_bos_token" in config or "add_eos_token" in config:  # then transformers builds the post-processor anew
        return bool(config.get("add_bos_token", False))
    return tokenizer.encode("a").ids[:1] == [tokenizer.token_to_id(bos)]


def _rebuild_llama(tokenizer: Tokenizer, config: dict[str, Any], model_config: dict[str, Any]) -> None:
    """Split text as transformers' LlamaTokenizer does, which takes only vocabulary and merges from tokenizer.json.

    Otherwise Llama-2-like models would get an extra `▁` after every special token. `tokenization_llama.py`, 5.23.
    """
    named = str(config.get("tokenizer_class", "")).removesuffix("Fast") == "LlamaTokenizer"
    if not named or model_config.get("model_type") != "llama" or not getattr(tokenizer.model, "byte_fallback", False):
        return
    spaced = config.get("add_prefix_space")
    scheme = "never" if spaced is False else "always" if config.get("legacy", False) else "first"
    tokenizer.normalizer = None
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=False)


def _eos_ids(config: dict[str, Any]) -> list[int]:
    ids = config.get("eos_token_id")
    return [one for one in (ids if isinstance(ids, list) else [ids]) if isinstance(one, int)]
