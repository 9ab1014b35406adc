"""The texts on which two models are compared: rows of the adapter's own training data, or a small built-in set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import FinetunerError
from ..examples.chat import ChatTokenizer, tools_of
from ..examples.files import load_prepared
from ..examples.types import ChatExample, CompletionExample, Example, Message, prompt_of
from .provenance import Training

PROBES = 8
MOST_COMPARED = 32  # rows at most that any comparison asks for
MOST_CALIBRATING = 2000  # rows: far more text than an importance matrix takes
MAX_TOKENS = 192

BUILT_IN = (
    ("What is the capital of France?", "The capital of France is Paris."),
    ("Count from one to five.", "One, two, three, four, five."),
    ("Write a Python function that adds two numbers.", "def add(a, b):\n    return a + b"),
    ("Translate 'good morning' into Spanish.", "Buenos días."),
    ("Give me a JSON object with a name and an age.", '{"name": "Ada", "age": 36}'),
    ("Why is the sky blue?", "Air scatters blue light more than red light."),
    ("Rewrite politely: send me the file.", "Could you please send me the file?"),
    ("Which is larger, 9.11 or 9.9?", "9.9 is larger."),
)


@dataclass(frozen=True, slots=True)
class Probe:
    """One text to compare models on."""

    question: str
    """The last thing that the user says in it, for people to read."""
    prompt: str
    """What stands before the answer, as the model reads it."""
    ids: tuple[int, ...]
    """Prompt and answer as tokens."""
    answer_at: int
    """Where the answer begins among them."""
    messages: tuple[Message, ...] = ()
    """The conversation up to the answer; empty for a text to continue."""


@dataclass(frozen=True, slots=True)
class Probes:
    """The texts and where they come from."""

    probes: tuple[Probe, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """Texts that show which weights matter."""

    texts: tuple[str, ...]
    tokens: int
    source: str
    """Where they come from, for people."""


def collect(
    chat: ChatTokenizer, training: Training | None, data_path: Path | None = None, count: int = PROBES
) -> Probes:
    """Rows of the given data; else held-out rows of the training data where they are known (else training rows).

    Without any, the built-in questions.

    Raises:
        DataError, PathError: The given data cannot be read.
    """
    if data_path is not None:
        return _from_data(chat, data_path, count)
    if training is None or training.data_path is None:
        return Probes(_probes(chat, _built_in()), "built-in questions: the adapter's training data is not known")
    try:
        return _from_data(chat, training.data_path, count)
    except FinetunerError:  # data that cannot be read any more is no reason not to merge
        return Probes(
            _probes(chat, _built_in()), "built-in questions: the adapter's training data cannot be read any more"
        )


def calibration(chat: ChatTokenizer, training: Training | None, data_path: Path | None = None) -> Calibration:
    """Training rows as the model reads them, none of those that `collect` gives for at most as many as it can.

    Without a known training, the other rows of the given data; without any, the built-in conversations.

    Raises:
        DataError, PathError: The given data cannot be read.
    """
    given = (training.data_path if training else None) or data_path
    try:
        texts, source = _other_rows(chat, given) if given else ([], "")
    except FinetunerError:
        if given == data_path:
            raise
        texts, source = [], ""
    if not texts:
        texts, source = [_whole(chat, example) for example in _built_in()], "the built-in conversations"
    return Calibration(tuple(texts), sum(chat.count_many(texts)), source)


def _other_rows(chat: ChatTokenizer, data_path: Path) -> tuple[list[str], str]:
    prepared = load_prepared(data_path)
    compared = () if prepared.valid else map(id, _spread(prepared.train, MOST_COMPARED))
    left_out = frozenset(compared)
    rows = [row for row in prepared.train if id(row) not in left_out]
    return [_whole(chat, row) for row in _spread(rows, MOST_CALIBRATING)], "training rows"


def _built_in() -> list[Example]:
    return [ChatExample((Message("user", q), Message("assistant", a))) for q, a in BUILT_IN]


def _from_data(chat: ChatTokenizer, data_path: Path, count: int) -> Probes:
    prepared = load_prepared(data_path)
    rows, path = (prepared.valid, prepared.valid_path) if prepared.valid else (prepared.train, prepared.train_path)
    return Probes(_probes(chat, _spread(rows, count)), f"rows of {path.name if path else data_path.name}")


def _spread(rows: Sequence[Example], count: int) -> Sequence[Example]:
    """So many rows from the whole file, since files are often sorted."""
    return rows[:: max(1, len(rows) // count)][:count]


def _probes(chat: ChatTokenizer, examples: Sequence[Example]) -> tuple[Probe, ...]:
    return tuple(_probe(chat, example) for example in examples)


def _probe(chat: ChatTokenizer, example: Example) -> Probe:
    prompt = chat.prompt(example)
    ids, before = chat.encode(_whole(chat, example)), chat.encode(prompt)
    shared = next((n for n, (a, b) in enumerate(zip(ids, before, strict=False)) if a != b), min(len(ids), len(before)))
    skipped = max(0, min(shared, len(ids) - 1) - MAX_TOKENS // 2)  # of a long prompt, the end: the answer must be in
    kept = ids[skipped : skipped + MAX_TOKENS]
    before_answer = prompt_of(example)
    messages = () if isinstance(before_answer, str) or tools_of(example) else tuple(before_answer)
    return Probe(_question(example), prompt, tuple(kept), max(1, shared - skipped), messages)


def _whole(chat: ChatTokenizer, example: Example) -> str:
    if isinstance(example, CompletionExample):
        text = example.prompt + example.completion
        return chat.bos_text(text) + text
    return chat.render(example.messages)


def _question(example: Example) -> str:
    if isinstance(example, CompletionExample):
        return example.prompt
    return next((m.content for m in reversed(example.messages) if m.role == "user"), "")
