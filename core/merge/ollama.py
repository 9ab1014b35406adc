"""The Ollama Modelfile, with a template only where it is proven to say what the model's own chat template says.

Ollama reads no Jinja: it has its own templates, in Go's syntax. For each family below there is that text and a function
that says the same in Python; the function is compared with the model's template on probe conversations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..checks import Check
from ..errors import FinetunerError
from ..examples.chat import ChatTokenizer
from ..examples.types import Message

Renderer = Callable[[Sequence[Message]], str]

SYSTEM, USER, ANSWER, USER_2 = "Be brief.", "Zq one?", "Zq two.", "Zq three?"
PROBES = (
    (Message("user", USER),),
    (Message("user", USER), Message("assistant", ANSWER), Message("user", USER_2)),
)
TOOL = {
    "type": "function",
    "function": {
        "name": "zq_look_up",
        "description": "Look a word up.",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
    },
}
SYSTEM_PROBES = tuple((Message("system", SYSTEM), *probe) for probe in PROBES)


@dataclass(frozen=True, slots=True)
class Family:
    """One way to write a conversation down."""

    name: str
    go: str
    render: Renderer
    stops: tuple[str, ...]
    has_system: bool = True


def _chatml(messages: Sequence[Message]) -> str:
    turns = "".join(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in messages)
    return f"{turns}<|im_start|>assistant\n"


def _llama3(messages: Sequence[Message]) -> str:
    turns = "".join(f"<|start_header_id|>{m.role}<|end_header_id|>\n\n{m.content}<|eot_id|>" for m in messages)
    return f"{turns}<|start_header_id|>assistant<|end_header_id|>\n\n"


def _gemma(messages: Sequence[Message]) -> str:
    system, rest = _split(messages)
    texts = [m.content for m in rest]
    texts[0] = f"{system}\n\n{texts[0]}" if system else texts[0]
    names = {"user": "user", "assistant": "model"}
    turns = "".join(
        f"<start_of_turn>{names[m.role]}\n{text}<end_of_turn>\n" for m, text in zip(rest, texts, strict=True)
    )
    return f"{turns}<start_of_turn>model\n"


def _mistral(messages: Sequence[Message]) -> str:
    system, rest = _split(messages)
    out = ""
    for place, m in enumerate(rest):
        text = f"{system}\n\n{m.content}" if system and place == len(rest) - 1 else m.content
        out += f"[INST] {text}[/INST]" if m.role == "user" else f" {text}</s>"
    return out


def _split(messages: Sequence[Message]) -> tuple[str, Sequence[Message]]:
    return (messages[0].content, messages[1:]) if messages[0].role == "system" else ("", messages)


FAMILIES = (
    Family(
        "chatml",
        "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n",
        _chatml,
        ("<|im_start|>", "<|im_end|>"),
    ),
    Family(
        "llama3",
        "{{- range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n{{ .Content }}<|eot_id|>"
        "{{ end }}<|start_header_id|>assistant<|end_header_id|>\n\n",
        _llama3,
        ("<|start_header_id|>", "<|eot_id|>"),
    ),
    Family(
        "gemma",
        '{{- range $i, $m := .Messages }}{{ if eq $m.Role "user" }}<start_of_turn>user\n'
        "{{ if and (le $i 1) $.System }}{{ $.System }}\n\n{{ end }}{{ $m.Content }}<end_of_turn>\n"
        '{{ else if eq $m.Role "assistant" }}<start_of_turn>model\n{{ $m.Content }}<end_of_turn>\n'
        "{{ end }}{{ end }}<start_of_turn>model\n",
        _gemma,
        ("<start_of_turn>", "<end_of_turn>"),
    ),
    Family(
        "mistral",
        '{{- range $i, $m := .Messages }}{{ if eq $m.Role "user" }}[INST] '
        "{{ if and (eq (len (slice $.Messages $i)) 1) $.System }}{{ $.System }}\n\n{{ end }}{{ $m.Content }}[/INST]"
        '{{ else if eq $m.Role "assistant" }} {{ $m.Content }}</s>{{ end }}{{ end }}',
        _mistral,
        ("[INST]", "</s>"),
    ),
)


@dataclass(frozen=True, slots=True)
class Recognised:
    """A family that renders like the model's own template."""

    family: Family
    system: str | None
    """What the template says as system message when the conversation has none; None when it says nothing."""
    system_proven: bool
    """False when the model's template refuses system messages."""


def recognise(chat: ChatTokenizer) -> Recognised | None:
    """The family whose text equals the model's template on every probe; None when there is none.

    The begin-of-text token is left out of the comparison: llama.cpp adds it by itself.
    """
    bos = chat.decode([chat.bos_id], skip_special=False) if chat.bos_id is not None else ""
    for family in FAMILIES:
        system = _default_system(chat, family)
        given = (Message("system", system),) if system else ()
        plain = [(probe, (*given, *probe)) for probe in PROBES]
        if not all(_same(chat, bos, family, asked, said) for asked, said in plain):
            continue
        refuses = all(_rendered(chat, probe) is None for probe in SYSTEM_PROBES)
        if refuses or all(_same(chat, bos, family, probe, probe) for probe in SYSTEM_PROBES):
            return Recognised(family, system, not refuses)
    return None


def _same(chat: ChatTokenizer, bos: str, family: Family, asked: Sequence[Message], said: Sequence[Message]) -> bool:
    text, ours = _rendered(chat, asked), family.render(said)
    return text is not None and ours in (text, text.removeprefix(bos))


def _rendered(chat: ChatTokenizer, messages: Sequence[Message]) -> str | None:
    try:
        return chat.render(messages, add_generation_prompt=True)
    except FinetunerError:
        return None


def _default_system(chat: ChatTokenizer, family: Family) -> str | None:
    """What stands between the markers of a system turn in a conversation that has none."""
    text = _rendered(chat, PROBES[0])
    marker = family.render((Message("system", "\0"), Message("user", USER)))
    before, _, after = marker.partition("\0")
    if text is None or not before or before not in text:
        return None
    start = text.index(before) + len(before)
    end = text.find(after, start)
    found = text[start:end] if end > start else ""
    return found if found and '"""' not in found else None


def writes_tools(chat: ChatTokenizer) -> bool:
    """Whether the model's own template tells the model which tools it may call."""
    try:
        return chat.render(PROBES[0], tools=[TOOL]) != chat.render(PROBES[0])
    except FinetunerError:
        return False


def modelfile_check(recognised: Recognised | None, tools: bool = False) -> Check:
    """Whether Ollama will write conversations as the model was trained to read them.

    Args:
        recognised: The family, where one was found.
        tools: Whether the model's own template writes tools, which none of the families here does.
    """
    if recognised is None:
        return Check(
            name="modelfile_template",
            status="warn",
            details="The model's chat template is of no family that is known here in Ollama's language: the Modelfile "
            "has no TEMPLATE, and Ollama guesses one.",
            next_step="Write TEMPLATE by hand (docs.ollama.com), or serve with llama-server --jinja.",
        )
    probes = len(PROBES) + (len(SYSTEM_PROBES) if recognised.system_proven else 0)
    details = f"The {recognised.family.name} template renders {probes} probe conversations as the model's own does."
    if not recognised.system_proven:
        details += " System messages are unknown: the model's own template refuses them."
    if tools:
        return Check(
            name="modelfile_template",
            status="warn",
            details=f"{details} Tools are unknown: the model's own template writes them, the Modelfile's does not, "
            "and Ollama refuses a request with tools.",
            next_step="For tool calls serve the GGUF with llama-server --jinja, or the merged model with vllm.",
        )
    return Check(name="modelfile_template", status="pass", details=details)


def modelfile(gguf: Path, recognised: Recognised | None, chat: ChatTokenizer) -> str:
    """The Modelfile's text for a GGUF file beside it."""
    lines = [f"FROM ./{gguf.name}"]
    stops = dict.fromkeys(chat.end_texts)
    if recognised is not None:
        lines.append(f'TEMPLATE """{recognised.family.go}"""')
        stops = dict.fromkeys((*recognised.family.stops, *stops))
        if recognised.system:
            lines.append(f'SYSTEM """{recognised.system}"""')
    lines += [f'PARAMETER stop "{stop}"' for stop in stops]
    return "\n".join(lines) + "\n"
