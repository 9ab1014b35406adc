"""The built-in questions for models that only answer: multiple choice by letter."""

import random
import re
from collections.abc import Sequence
from typing import Any

from ..probes.items import Probe
from ..probes.questions import ProbeAnswer, all_probes

LETTERS = "ABCD"
NAMED = re.compile(r"\W*(?:answer\W+)?\(?([A-D])\b(?!')", re.IGNORECASE)


def conversations() -> list[dict[str, Any]]:
    """Each question with its four answers under letters, as the body of a request for an answer."""
    return [{"messages": [{"role": "user", "content": _text(probe)}]} for _, probe in all_probes()]


def graded(answers: Sequence[str]) -> tuple[ProbeAnswer, ...]:
    """What a model chose; an answer that names no letter and none of the four texts is wrong."""
    return tuple(
        ProbeAnswer(capability=capability, right=_chosen(answer, _options(probe)) == probe.right, probability=None)
        for (capability, probe), answer in zip(all_probes(), answers, strict=True)
    )


def _options(probe: Probe) -> list[str]:
    """The four answers in an order that is the same for every model and gives no place to the right one."""
    return random.Random(probe.question).sample([probe.right, *probe.wrong], len(LETTERS))


def _text(probe: Probe) -> str:
    choices = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, _options(probe), strict=True))
    return f"{probe.question}\n\n{choices}\n\nAnswer with the letter of the right answer alone."


def _chosen(answer: str, options: Sequence[str]) -> str | None:
    """The option whose very text was answered, else the one whose letter stands first."""
    said = answer.strip()
    if said in options:
        return said
    found = NAMED.match(said)
    return options[LETTERS.index(found[1].upper())] if found else None
