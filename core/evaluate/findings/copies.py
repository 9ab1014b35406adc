"""Whether the fine-tuned model says training answers by heart."""

from collections.abc import Iterable, Iterator, Sequence

from ...checks import Check, quoting
from ...examples.types import CompletionExample, Example
from ...models.generate import Generation
from ...untrusted import quote
from ..measured import Measured
from ..subject import Subject

COPY_SHARE = 0.05  # of the answers
RUN = 20  # words in a row: nobody says as many by chance
WHOLE = (
    6  # words from which a shorter answer that is a training answer, whole, counts; below it there are few to choose
)


def check(subject: Subject, base: Measured, finetuned: Measured | None) -> tuple[Check, ...]:
    """Whether answers repeat training answers at length that are neither their reference nor asked for."""
    if not subject.training.files or finetuned is None or not finetuned.answers:
        return ()
    known = [[*subject.prompts[i].split(), *_words(subject.references[i])] for i in subject.asked]
    answers = [answer for example in subject.training.examples for answer in _answers(example)]
    before, after = (_copied(one.answers, known, answers) for one in (base, finetuned))
    n = len(finetuned.answers)
    details = (
        f"{len(after)} of {n} answers of the fine-tuned model repeat a training answer ({RUN} words in a row, or a "
        f"shorter one whole) that is not their reference; {len(before)} of the base do."
    )
    if len(after) <= COPY_SHARE * n or len(after) <= len(before):
        return (Check(name="copied_answers", status="pass", details=details, count=len(after)),)
    details = quoting(details, quote(finetuned.answers[after[0]].text))
    next_step = "Read these rows in samples.jsonl; train fewer epochs, or on data without near copies (dedup: near)."
    return (Check(name="copied_answers", status="warn", details=details, count=len(after), next_step=next_step),)


def _answers(example: Example) -> Iterator[str]:
    if isinstance(example, CompletionExample):
        yield example.completion
    else:
        yield from (message.content for message in example.messages if message.trained)


def _copied(generated: Sequence[Generation], known: Sequence[list[str]], answers: Iterable[str]) -> list[int]:
    """Which of the generated answers hold what a training answer says, and what stands in their own row does not.

    The few generated answers are indexed and the many training answers streamed past them.
    """
    owners: dict[tuple[str, ...], set[int]] = {}
    for place, (one, own) in enumerate(zip(generated, known, strict=True)):
        words = _words(one.text)
        for piece in set(_pieces(words)) - set(_runs(own, min(RUN, len(words)))):
            owners.setdefault(piece, set()).add(place)
    found: set[int] = set()
    for answer in answers:
        for piece in _pieces(_words(answer)):
            found |= owners.get(piece, set())
    return sorted(found)


def _pieces(words: list[str]) -> Iterator[tuple[str, ...]]:
    """Every run of RUN words, or the whole of a shorter text that is not too short."""
    if len(words) >= WHOLE:
        yield from _runs(words, min(RUN, len(words)))


def _runs(words: list[str], length: int) -> Iterator[tuple[str, ...]]:
    for start in range(len(words) - length + 1 if length else 0):
        yield tuple(words[start : start + length])


def _words(text: str) -> list[str]:
    return text.casefold().split()
