"""Preference pairs: the two answers to one prompt, each as an example of its own."""

from dataclasses import dataclass, replace

from .chat import ChatTokenizer
from .mask import Rendered, render_example
from .types import ChatExample, CompletionExample, Example


@dataclass(frozen=True, slots=True)
class Sides:
    """Both answers of a preference pair after the prompt that they share."""

    chosen: Example
    rejected: Example

    answers_before: int
    """Answers of the assistant in the prompt: context here, not to be learned."""


def sides(example: Example) -> Sides | None:
    """The two answers of a preference pair; None when the example is no pair."""
    if isinstance(example, CompletionExample):
        if example.rejected is None:
            return None
        rejected = replace(example, completion=example.rejected, rejected=None)
        return Sides(replace(example, rejected=None), rejected, answers_before=0)
    if example.rejected is None:
        return None
    prompt = example.messages[: example.rejected.after]
    rejected = ChatExample((*prompt, *example.rejected.turns), example.fields)
    return Sides(replace(example, rejected=None), rejected, sum(message.trained for message in prompt))


def render_sides(pair: Sides, tokenizer: ChatTokenizer) -> tuple[Rendered, Rendered]:
    """Chosen and rejected as text; trained is only what follows the prompt, by the rules for every example.

    Raises:
        DataError: The chat template refuses a conversation or leaves out an answer.
    """
    chosen, rejected = (render_example(side, tokenizer) for side in (pair.chosen, pair.rejected))
    return _after(chosen, pair.answers_before), _after(rejected, pair.answers_before)


def _after(rendered: Rendered, answers: int) -> Rendered:
    return replace(rendered, spans=rendered.spans[answers:])
