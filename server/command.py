"""The way in of the command `faion-finetuner`."""

import sys

from ..core.garbage import collect_seldom, skip_last_look


def main() -> int:
    """Import and carry out the command line; returns the exit code."""
    collect_seldom()
    from .cli import main as carry_out

    try:
        return carry_out()
    finally:
        skip_last_look()


if __name__ == "__main__":
    sys.exit(main())
