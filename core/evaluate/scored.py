"""Which rows a score is computed on, and what it is given of them."""

from ..models.generate import Generation
from .comparison import Array
from .expected_calls import is_of
from .measured import Measured
from .scoring.scores import Score
from .scoring.written_calls import Called
from .subject import Subject


def places(subject: Subject, score: Score) -> list[int]:
    """Positions among `asked`."""
    return [place for place, row in enumerate(subject.asked) if is_of(score.of, *subject.wanted(row))]


def item_rows(subject: Subject, score: Score, one: Measured) -> Array:
    """The item rows of one model, one for each of `places`."""
    chosen = places(subject, score)
    if score.of == "text":
        answers = [one.answers[place].text for place in chosen]
        return score.rows(answers, [subject.references[subject.asked[place]] for place in chosen])
    made = [called(subject, place, one).as_json() for place in chosen]
    wanted = (subject.wanted(subject.asked[place])[1] for place in chosen)
    return score.rows(made, [Called(expected.calls if expected else ()).as_json() for expected in wanted])


def called(subject: Subject, place: int, one: Measured) -> Called:
    """The calls of the answer at this position among `asked`; none where its row is not about tools."""
    row = subject.asked[place]
    expected = subject.wanted(row)[1]
    if expected is None:
        return Called()
    return subject.reader.called(written(one.answers[place]), subject.prompts[row], expected)


def written(answer: Generation) -> str:
    """The answer with its special tokens, which some models mark calls with."""
    return answer.text if answer.raw is None else answer.raw
