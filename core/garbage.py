"""How often Python looks for garbage."""

import gc

THRESHOLD = 50_000


def collect_seldom() -> None:
    """Look for objects that only refer to each other after 50,000 new ones, instead of 700, from now on.

    What is imported stays, and Python would look through all of it again and again while it grows: torch, transformers,
    peft and trl take 7.0 seconds to import so, and 5.0 with this. Rows are many small objects without cycles, too.
    """
    gc.set_threshold(THRESHOLD)
