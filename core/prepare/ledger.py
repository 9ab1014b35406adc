"""The ledger: one line for every row that was dropped, changed or flagged, and why.

A line is {source, line, row_id, action, rule, matched, before, after}:

- dropped: `before` is the record (as it would have been written for duplicates, as it was read for the others), or the
  raw text of a row that is no record; bytes that are not text stand as {"base64": ...}. `matched` names the row that
  it repeats, or the detail of the rule.
- changed: `before` and `after` hold the changed texts by their place, such as `messages.0.content`.
- flagged: kept as it is, but worth a look; `matched` says why. Where reading settled what the text says by a rule, such
  as which of two equal keys counts, `before` is the text.

To undo, prepare again with `restore`: it takes rules and row_ids from here. The digest in a row_id proves that the row
at its place is still the same.

Personal data that was looked for does not stand here, unless `keep_values` asks for it: what is written goes through
the same redaction, and a redaction has no `before`. There are no hashes of the values either, since a phone number can
be guessed from its hash.
"""

import base64
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import orjson

from .. import lossless_json
from ..personal.redact import redact_all
from .row import Place

Action = Literal["dropped", "changed", "flagged"]


@dataclass
class Entries:
    """Lines for the ledger with their counts; a worker fills one for each batch."""

    hide: bool
    """Whether personal data is replaced in what is shown."""

    lines: list[bytes] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    """Rows by rule."""
    changed: Counter[str] = field(default_factory=Counter)
    flagged: Counter[str] = field(default_factory=Counter)

    def drop(self, place: Place, rule: str, before: Any, matched: Any = None) -> None:
        """A row goes no further."""
        self.dropped[rule] += 1
        shown = self._shown_bytes(before) if isinstance(before, bytes) else self._shown(before)
        self._write(place, "dropped", rule, (matched, shown, None))

    def change(self, place: Place, rule: str, before: Any, after: Any, matched: Any = None) -> None:
        """A row goes on with other texts."""
        self.changed[rule] += 1
        self._write(place, "changed", rule, (matched, self._shown(before), self._shown(after)))

    def flag(self, place: Place, rule: str, matched: Any, raw: bytes | None = None) -> None:
        """A row goes on as it is, but a person should look; `raw` is its text where the record lacks some of it."""
        self.flagged[rule] += 1
        self._write(place, "flagged", rule, (self._shown(matched), raw and self._shown_bytes(raw), None))

    def drop_line(self, place: Place, rule: str, line: bytes, matched: Any) -> None:
        """A row that was ready to be written goes no further; `line` is its JSON."""
        self.dropped[rule] += 1
        self._write(place, "dropped", rule, (matched, orjson.Fragment(line.rstrip(b"\n")), None))

    def _shown(self, value: Any) -> Any:
        return redact_all(value) if self.hide else value

    def _shown_bytes(self, raw: bytes) -> Any:
        shown = self._shown(raw.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        try:
            return shown.decode("utf-8")
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(shown).decode("ascii")}

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
        self.lines.append(lossless_json.dumps(entry) + b"\n")


class Ledger:
    """The file, filled from entries.

    Attributes:
        dropped, changed, flagged: Rows by rule.
        lines: Lines written.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b")
        self.dropped: Counter[str] = Counter()
        self.changed: Counter[str] = Counter()
        self.flagged: Counter[str] = Counter()
        self.lines = 0

    def take(self, entries: Entries) -> None:
        """Write the lines of `entries` and add their counts."""
        self._file.writelines(entries.lines)
        self.lines += len(entries.lines)
        self.dropped.update(entries.dropped)
        self.changed.update(entries.changed)
        self.flagged.update(entries.flagged)

    def copy_to(self, target: IO[bytes]) -> None:
        """All lines, in the order in which they came."""
        self._file.flush()
        self._file.seek(0)
        shutil.copyfileobj(self._file, target)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()
