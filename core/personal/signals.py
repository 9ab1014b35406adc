"""One pass over a text that tells which of many patterns are in it; spares most rows most of the looking."""

from collections.abc import Mapping

import re2


class Signals:
    """Patterns by name, looked for all at once in time linear in the text, whatever their number.

    Patterns are in RE2's syntax: no looking around, and `\\w`, `\\d` and `\\s` mean ASCII alone.
    """

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._names = ("", *patterns)
        self.names = frozenset(patterns)
        self._set = re2.Set.SearchSet()
        for pattern in ("", *patterns.values()):
            self._set.Add(pattern)
        self._set.Compile()

    def in_text(self, text: str) -> frozenset[str]:
        """The names of the patterns that match somewhere in the text; all of them where that cannot be told."""
        try:
            found = self._set.Match(text) or ()
        except UnicodeEncodeError:  # half a character (a lone surrogate)
            return self.names
        if len(found) == 1:
            return NONE
        if not found:  # the empty pattern is in every text: RE2 ran out of memory
            return self.names
        return frozenset([self._names[place] for place in found if place])


NONE: frozenset[str] = frozenset()
