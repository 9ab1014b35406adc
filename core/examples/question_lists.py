"""Questions that follow one another in a list, as MT-bench has them, and the reference answers to them."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..errors import DataError

FIELDS = frozenset({"turns"})
MARKS = frozenset({"question_id", "prompt_id", "reference"})  # without one of them texts are turns of either side
PROBLEM = "`turns` are questions alone, without an answer to each in `reference`"


def read_questions(record: Mapping[str, Any]) -> tuple[dict[str, Any], Counter[str]] | None:
    """The plain record of a list of questions: each with the answer of the same place in `reference`.

    None where `turns` are no texts, or nothing says that all of them are questions.

    Raises:
        DataError: There is not an answer to each.
    """
    asked, answered = _texts(record["turns"]), _texts(record.get("reference"))
    if not asked or MARKS.isdisjoint(record):
        return None
    if len(asked) != len(answered) or not all(answered):
        raise DataError(PROBLEM, "Leave it to benchmarks, or put the answers into `reference`.")
    rest = {field: value for field, value in record.items() if field not in ("turns", "reference")}
    return {"questions": asked, "answers": answered, **rest}, Counter()


def _texts(value: Any) -> list[str]:
    """The texts of a list of nothing else; none of any other value."""
    return value if isinstance(value, list) and all(isinstance(one, str) for one in value) else []
