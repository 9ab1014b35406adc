"""The same conversation, written down and tokenised by everything that will ever do so: the ids have to be the same."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checks import Check
from ..errors import FinetunerError
from ..examples.chat import ChatTokenizer
from ..examples.template import render
from ..examples.types import Message
from ..models.gguf.engines import Cyllama
from ..models.gguf.summary import summarise
from ..runs.active import ActiveRun
from .ollama import PROBES, SYSTEM_PROBES, Recognised
from .probes import Probe
from .serving import Conversation

NAME = "chat_rendering"
FROM_DATA = 2  # conversations
TRAINING = "training tokenizer"
Ids = Sequence[Sequence[int]]


def conversations(chat: ChatTokenizer, rows: Sequence[Probe]) -> tuple[Conversation, ...]:
    """One turn, several, both with a system message, and some of the user's own; those that the template takes."""
    own = [probe.messages for probe in rows if probe.messages][:FROM_DATA]
    return tuple(one for one in (*PROBES, *SYSTEM_PROBES, *own) if _takes(chat, one))


def _takes(chat: ChatTokenizer, conversation: Conversation) -> bool:
    try:
        chat.render(conversation, add_generation_prompt=True)
    except FinetunerError:
        return False
    return True


def ids_of(chat: ChatTokenizer, asked: Sequence[Conversation]) -> list[list[int]]:
    """By the tokenizer that training used, or one of the same kind."""
    return [chat.encode(chat.render(one, add_generation_prompt=True)) for one in asked]


def ids_by_transformers(folder: Path, asked: Sequence[Conversation]) -> list[list[int]]:
    """By transformers from a model folder, as it and vLLM and SGLang will."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    records = [[{"role": m.role, "content": m.content} for m in one] for one in asked]
    found = [tokenizer.apply_chat_template(one, add_generation_prompt=True, tokenize=True) for one in records]
    return [list(one["input_ids"]) for one in found]


def ids_in_file(file: Path, chat: ChatTokenizer, asked: Sequence[Conversation], run: ActiveRun) -> list[list[int]]:
    """By the template and the tokenizer that lie in a GGUF file; the template is rendered as transformers would.

    Raises:
        ExportError: The file could not be loaded.
    """
    summary = summarise(file)
    template = summary.chat_template
    if template is None:
        return [[] for _ in asked]
    bos = _text(chat, chat.bos_id)
    tokens = {"bos_token": bos, "eos_token": _text(chat, chat.eos_id)}
    texts = [
        render(template, [{"role": m.role, "content": m.content} for m in one], add_generation_prompt=True, **tokens)
        for one in asked
    ]
    doubled = bos if summary.adds_bos else ""  # llama.cpp takes it from the text and puts its own first
    return Cyllama().tokenize(file, [text.removeprefix(doubled) for text in texts], run)


def _text(chat: ChatTokenizer, token: int | None) -> str:
    return "" if token is None else chat.decode([token], skip_special=False)


def modelfile_texts(recognised: Recognised, asked: Sequence[Conversation]) -> list[str]:
    """What Ollama hands to the tokenizer: the proven family's text, with the Modelfile's SYSTEM where none is given."""
    default = (Message("system", recognised.system),) if recognised.system else ()
    return [recognised.family.render(one if one[0].role == "system" else (*default, *one)) for one in asked]


def rendering_check(asked: Sequence[Conversation], ids: Mapping[str, Ids], lacking: Sequence[str] = ()) -> Check:
    """Whether every party makes the same ids of every conversation; the first one named in `ids` is right.

    Args:
        asked: The conversations.
        ids: By party, the training's tokenizer first.
        lacking: Parties that could not be asked, in words.
    """
    truth, *others = ids
    wrong = {
        party: [n for n, (ours, theirs) in enumerate(zip(ids[truth], ids[party], strict=True)) if [*ours] != [*theirs]]
        for party in others
    }
    parties = ", ".join(ids)
    missing = f" Not compared: {'; '.join(lacking)}." if lacking else ""
    bad = {party: places for party, places in wrong.items() if places}
    if not bad:
        details = f"{len(asked)} conversations give the same ids by {parties}.{missing}"
        return Check(name=NAME, status="pass", details=details)
    told = "; ".join(
        f"{party} differs in {len(places)} of {len(asked)}, first at token "
        f"{_first_difference(ids[truth][places[0]], ids[party][places[0]])}"
        for party, places in bad.items()
    )
    return Check(
        name=NAME,
        status="fail",
        details=f"The same conversations give other ids than by the {truth}: {told}.{missing}",
        count=sum(map(len, bad.values())),
        next_step="Do not serve it so: the model would read its conversations otherwise than in training. "
        "Put the adapter's tokenizer files and chat template beside the base, and export again.",
    )


def _first_difference(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """Counted from 1."""
    pairs = enumerate(zip(ours, theirs, strict=False), start=1)
    return next((place for place, (a, b) in pairs if a != b), min(len(ours), len(theirs)) + 1)
