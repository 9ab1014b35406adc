"""The smoke test: a real server on the exported file, asked through the `openai` client as an application would."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checks import Check
from ..errors import ExportError
from ..examples.types import Message
from ..runs.active import ActiveRun
from ..untrusted import quote
from .servers import Server

NAME = "serving"
ANSWER_TOKENS = 24
REQUEST_TIMEOUT_S = 600.0
Conversation = Sequence[Message]


@dataclass(frozen=True, slots=True)
class Served:
    """What a server made of the file."""

    check: Check
    chat_ids: tuple[tuple[int, ...], ...] | None = None
    """The tokens of each conversation, as the server itself writes it down; None when it did not serve."""
    text_ids: tuple[tuple[int, ...], ...] | None = None
    """The tokens of each text."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the server is asked."""

    chat: Conversation
    """To be answered."""
    prompt_tokens: int
    """Of that conversation, as the model's own template writes it."""
    answer: str | None
    """The merged model's own greedy answer to it; None where it was not asked."""
    conversations: Sequence[Conversation]
    """To be turned into tokens."""
    texts: Sequence[str]
    """Likewise; the begin token is put first where the file asks for that."""


def smoke_test(server: Server | None, model: Path, wanted: Wanted, run: ActiveRun) -> Served:
    """Serve the file on loopback and talk to it; a crash is an answer."""
    if server is None:
        return Served(_not_tried())
    run.stage(f"serving {model.name} with {server.name}")
    try:
        with server.serving(model, run) as address:
            return _talk(server.name, address, model, wanted)
    except ExportError as error:
        return Served(Check(name=NAME, status="fail", details=error.problem, next_step=error.next_step))


def _talk(name: str, address: str, model: Path, wanted: Wanted) -> Served:
    import openai

    # proxies of the environment are for the world outside
    http = openai.DefaultHttpxClient(trust_env=False, timeout=REQUEST_TIMEOUT_S)
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", http_client=http, max_retries=0) as client:
        try:
            served = client.models.list().data[0].id
            reply = client.chat.completions.create(
                model=served, messages=_records(wanted.chat), temperature=0, max_tokens=ANSWER_TOKENS
            )
            chats = [_chat_ids(client, address, one) for one in wanted.conversations]
            texts = [_text_ids(client, address, text) for text in wanted.texts]
        except openai.OpenAIError as error:
            raise ExportError(f"{name} refused: {type(error).__name__}: {str(error)[:200]}", "See its log.") from error
    return Served(_verdict(name, model, wanted, reply), tuple(chats), tuple(texts))


def _records(conversation: Conversation) -> Any:
    return [{"role": message.role, "content": message.content} for message in conversation]


def _chat_ids(client: Any, address: str, conversation: Conversation) -> tuple[int, ...]:
    """As the server's own template engine writes it, read by the file's own tokenizer."""
    body = {"messages": _records(conversation), "add_generation_prompt": True}
    return _text_ids(client, address, client.post(f"{address}/apply-template", cast_to=object, body=body)["prompt"])


def _text_ids(client: Any, address: str, text: str) -> tuple[int, ...]:
    body = {"content": text, "add_special": True, "parse_special": True}
    return tuple(client.post(f"{address}/tokenize", cast_to=object, body=body)["tokens"])


def _verdict(name: str, model: Path, wanted: Wanted, reply: Any) -> Check:
    answer, read = reply.choices[0].message.content or "", reply.usage.prompt_tokens
    details = (
        f"{name} served {model.name} on loopback; the openai client asked {quote(wanted.chat[-1].content, 60)} "
        f"({read} prompt tokens) and got {quote(answer, 60)}."
    )
    if wanted.answer is not None:
        same = "the same" if answer.strip() == wanted.answer.strip() else quote(wanted.answer, 60)
        details = f"{details} The merged model itself says {same}."
    if not answer.strip() and (wanted.answer is None or wanted.answer.strip()):
        return Check(name=NAME, status="warn", details=details, next_step="Ask it by hand; it answered nothing here.")
    if read != wanted.prompt_tokens:
        details = f"{details} The model's own template makes {wanted.prompt_tokens} tokens of that conversation."
        return Check(name=NAME, status="warn", details=details, next_step="See the check chat_rendering.")
    return Check(name=NAME, status="pass", details=details)


def _not_tried() -> Check:
    return Check(
        name=NAME,
        status="warn",
        details="No server was tried on the files: neither llama-server nor the package xllamacpp is here.",
        next_step="Run: pip install xllamacpp",
    )
