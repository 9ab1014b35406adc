"""The ledger: one line for every row that was dropped, changed or flagged, and why.

A line is {source, line, row_id, action, rule, matched, before, after}:

- dropped: `before` is the record (ready to be put back for duplicates, as it was read for the others), or the raw
  text of a row that is no record; bytes that are not text stand as {"base64": ...}. `matched` names the row that it
  repeats, or the detail of the rule.
- changed: `before` and `after` hold the changed texts by their place, such as `messages.0.content`.
- flagged: kept as it is, but worth a look; `matched` says why.

Personal data does not stand in it when `pii` is redact or drop: what is written goes through the same redaction, and
a redaction has no `before`. It is undone from the source: `source` and `line` say where, and the digest in `row_id`
proves that the row there is still the same. There are no hashes of the values either, since a phone number can be
guessed from its hash.
"""

import base64
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import orjson

from .row import Place

Action = Literal["dropped", "changed", "flagged"]


class Ledger:
    """Writes the lines as they come and keeps the counts.

    Attributes:
        dropped_by_reason: Rows dropped, by rule.
        changed_by_rule: Rows changed, by rule.
        lines: Lines written.
    """

    def __init__(self, path: Path, protect: Callable[[Any], Any]) -> None:
        self.path = path
        self.dropped_by_reason: Counter[str] = Counter()
        self.changed_by_rule: Counter[str] = Counter()
        self.lines = 0
        self._protect = protect
        self._file = path.open("wb")

    def drop(self, place: Place, rule: str, before: Any, matched: Any = None) -> None:
        """A row goes no further."""
        self.dropped_by_reason[rule] += 1
        shown = self._protect(before) if not isinstance(before, bytes) else self._shown_bytes(before)
        self._write(place, "dropped", rule, (matched, shown, None))

    def change(self, place: Place, rule: str, before: Any, after: Any, matched: Any = None) -> None:
        """A row goes on with other texts."""
        self.changed_by_rule[rule] += 1
        self._write(place, "changed", rule, (matched, self._protect(before), self._protect(after)))

    def flag(self, place: Place, rule: str, matched: Any) -> None:
        """A row goes on as it is, but a person should look."""
        self._write(place, "flagged", rule, (matched, None, None))

    def close(self) -> None:
        """End writing; the file stays."""
        self._file.close()

    def _shown_bytes(self, raw: bytes) -> Any:
        protected = self._protect(raw.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        try:
            return protected.decode("utf-8")
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(protected).decode("ascii")}

    def _write(self, place: Place, action: Action, rule: str, parts: tuple[Any, Any, Any]) -> None:
        matched, before, after = parts
        entry = {
            "source": place.source,
            "line": place.line,
            "row_id": place.row_id,
            "action": action,
            "rule": rule,
            "matched": matched,
            "before": before,
            "after": after,
        }
        self._file.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS))
        self.lines += 1
