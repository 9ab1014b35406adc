"""What belongs to a model besides its weights: configuration, tokenizer, chat template, generation settings."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import files
from ..checks import Check
from ..errors import ModelError
from ..examples.chat import ChatTokenizer
from ..models.licence import licence_files
from ..untrusted import quote
from .checkpoint import Checkpoint

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model", "tekken.json",
)  # fmt: skip
TEMPLATE = "chat_template.jinja"
GENERATION = "generation_config.json"


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """How the merged model's config.json differs from the base's."""

    dtype: str
    unties: bool
    vocabulary: int | None = None
    """Rows of an embedding that added tokens made longer."""


def copy_surroundings(base: Checkpoint, adapter: Path | None, folder: Path, change: ConfigChange) -> Check:
    """Put everything but the weights beside them; the check tells whether the model will end its turns."""
    config = {key: value for key, value in base.config.items() if key not in ("torch_dtype", "_name_or_path")}
    config["dtype"] = change.dtype
    if change.unties:
        config["tie_word_embeddings"] = False
    if change.vocabulary:
        config["vocab_size"] = change.vocabulary
    for path in beside_weights(base, adapter):
        shutil.copyfile(path, folder / path.name)
    _write_json(folder / "config.json", config)
    return _end_token(folder)


def beside_weights(base: Checkpoint, adapter: Path | None) -> list[Path]:
    """The files that a merged model gets beside its weights, where they lie now.

    The tokenizer is the adapter's where it has one, since training may have changed it, else the base's.
    """
    source = tokenizer_folder(base.folder, adapter)
    template = source if (source / TEMPLATE).is_file() else base.folder
    wanted = [base.folder / "config.json", *(source / name for name in TOKENIZER_FILES), template / TEMPLATE]
    code = sorted(base.folder.glob("*.py")) if "auto_map" in base.config else []
    found = [path for path in (*wanted, base.folder / GENERATION) if path.is_file()]
    return [*found, *licence_files(base.folder), *code]


def tokenizer_folder(base: Path, adapter: Path | None) -> Path:
    """Whose tokenizer the merged model gets."""
    has_own = adapter is not None and any((adapter / name).is_file() for name in ("tokenizer.json", "tokenizer.model"))
    return adapter if adapter is not None and has_own else base


def kept_template_check(base: Path, adapter: Path | None) -> Check | None:
    """Whether the adapter's chat template, which the merged model gets, is the base's; None where there is only one."""
    if adapter is None or tokenizer_folder(base, adapter) != adapter:
        return None
    ours, theirs = (ChatTokenizer.load(folder) for folder in (adapter, base))
    if ours.template_is_default or ours.template == theirs.template:
        return Check(name="template_kept", status="pass", details="The chat template is the base's.")
    return Check(
        name="template_kept",
        status="warn",
        details="Changed chat template: the adapter brings another one than its base, and the merged model has the "
        "adapter's.",
        next_step="Nothing, if training used it; otherwise replace chat_template.jinja in the merged folder.",
    )


def _end_token(folder: Path) -> Check:
    """Make generation stop where the tokenizer ends a text and where the chat template ends an answer."""
    try:
        chat = ChatTokenizer.load(folder)
    except ModelError:  # weights alone may be merged, too
        chat = None
    if chat is None or not chat.eos_ids:
        return Check(
            name="end_token",
            status="warn",
            details="Neither a tokenizer nor a chat template names an end token.",
            next_step="Set eos_token in tokenizer_config.json, or the model may never stop.",
        )
    path = folder / GENERATION
    generation = json.loads(path.read_bytes()) if path.is_file() else {}
    known = generation.get("eos_token_id")
    ends = known if isinstance(known, list) else [] if known is None else [known]
    missing = [token for token in chat.eos_ids if token not in ends]
    if not missing:
        details = f"Generation stops where tokenizer and chat template end an answer: {_shown(chat, chat.eos_ids)}."
        return Check(name="end_token", status="pass", details=details)
    stops = [*ends, *missing]
    _write_json(path, generation | {"eos_token_id": stops if len(stops) > 1 else stops[0]})
    return Check(
        name="end_token",
        status="warn",
        details=f"{GENERATION} did not stop at {_shown(chat, missing)}, with which tokenizer or chat template end an "
        "answer; it was added.",
        next_step="Nothing, if training used this end token; otherwise remove it there.",
    )


def _shown(chat: ChatTokenizer, tokens: Sequence[int]) -> str:
    return ", ".join(f"{quote(chat.decode([token], skip_special=False))} ({token})" for token in tokens)


def vocabulary_check(tokenizer: Path, base: Checkpoint, grown_to: int | None) -> Check | None:
    """Whether every token has a row in the embedding; None where that cannot be known from the files."""
    if base.embedding is None or not (tokenizer / "tokenizer.json").is_file():
        return None
    from tokenizers import Tokenizer

    rows = grown_to or base.tensors[base.embedding].shape[0]
    highest = max(Tokenizer.from_file(str(tokenizer / "tokenizer.json")).get_vocab().values())
    if highest < rows:
        details = f"{highest + 1:,} token ids, {rows:,} embedding rows."
        if grown_to:
            details += " The adapter brings rows for added tokens; the merged model's vocabulary is its own."
        return Check(name="vocabulary", status="pass", details=details)
    return Check(
        name="vocabulary",
        status="fail",
        details=f"The tokenizer has ids up to {highest:,}, but the embedding has {rows:,} rows.",
        count=highest + 1 - rows,
        next_step="Use the tokenizer that belongs to this base, or a base whose embedding was enlarged for it.",
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    files.write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
