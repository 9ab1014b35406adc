"""The way in of the command `faion-finetuner`."""

import gc
import sys

from ..core.garbage import collect_seldom


def main() -> int:
    """Import and carry out the command line; returns the exit code."""
    collect_seldom()
    from .cli import main as carry_out

    try:
        return carry_out()
    finally:
        gc.freeze()  # or Python looks through everything once more before it ends, which takes 0.1 s


if __name__ == "__main__":
    sys.exit(main())
