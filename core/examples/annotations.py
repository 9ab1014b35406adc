"""Exports of annotation tools: what was shown to the annotators, and what they answered."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import DataError
from .field_names import ANSWER_FIELDS, plain

ARGILLA = frozenset({"fields"})
LABEL_STUDIO = frozenset({"annotations"})
Found = tuple[dict[str, Any], Counter[str]]


def read_argilla(record: Mapping[str, Any]) -> Found | None:
    """The plain record of a row of Argilla: its fields, and to each question the first response or the suggestion."""
    shown, responses = record["fields"], record.get("responses")
    suggestions = record.get("suggestions")
    if not isinstance(shown, Mapping) or not any(isinstance(one, Mapping) for one in (responses, suggestions)):
        return None
    left_out: Counter[str] = Counter()
    found: dict[str, Any] = dict(shown)
    for question, given in responses.items() if isinstance(responses, Mapping) else ():
        answers = [one.get("value") for one in given if isinstance(one, Mapping)] if isinstance(given, list) else []
        if answers:
            found.setdefault(question, answers[0])
            if others := sum(answer != answers[0] for answer in answers):
                left_out["responses of other annotators that differ"] += others
    for question, one in suggestions.items() if isinstance(suggestions, Mapping) else ():
        if isinstance(one, Mapping) and one.get("value") is not None:
            found.setdefault(question, one["value"])
    return _with_rest(found, record, ("fields", "responses", "suggestions")), left_out


def read_label_studio(record: Mapping[str, Any]) -> Found | None:
    """The plain record of a task of Label Studio: its data, and what the first annotation says of it.

    Raises:
        DataError: No one has annotated it.
    """
    data, annotations = record.get("data"), record["annotations"]
    if not isinstance(data, Mapping) or not isinstance(annotations, list):
        return None
    if not all(isinstance(one, Mapping) and "result" in one for one in annotations):
        return None
    done = [one for one in annotations if not one.get("was_cancelled")]
    if not done:
        raise DataError("The task has no annotation.", "Annotate it, or drop the record.")
    left_out: Counter[str] = Counter()
    if len(done) > 1:
        left_out["annotations after the first"] += len(done) - 1
    said = list(_said(done[0]["result"], left_out))
    if len(said) == 1 and plain(said[0][0]) not in ANSWER_FIELDS:
        said = [("label", said[0][1])]  # the one control is the answer, whatever its name
    return _with_rest({**dict(said), **data}, record, ("data", "annotations")), left_out


def _with_rest(found: dict[str, Any], record: Mapping[str, Any], taken: tuple[str, ...]) -> dict[str, Any]:
    """What was found with what else the record says, under a name that is free."""
    for field, value in record.items():
        if field not in taken and value not in (None, {}, []):
            found[field if field not in found else f"{field}_original"] = value
    return found


def _said(results: Any, left_out: Counter[str]) -> Iterator[tuple[str, Any]]:
    """The name of each control and what was chosen or written there; others, such as marked spans, are counted."""
    for result in results if isinstance(results, list) else ():
        value = result.get("value") if isinstance(result, Mapping) else None
        if not isinstance(value, Mapping):
            continue
        kind = str(result.get("type"))
        said = value.get({"textarea": "text"}.get(kind, kind))
        if kind in ("choices", "textarea") and isinstance(said, list) and said:
            yield str(result.get("from_name")), said[0] if len(said) == 1 else said
        elif kind in ("rating", "number") and said is not None:
            yield str(result.get("from_name")), said
        else:
            left_out[f"annotation of type {kind}"] += 1
