"""The way in of a process that works in a folder: the worker, and what it starts of its own kind."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from ..garbage import collect_seldom, skip_last_look


def carry_out(main: Callable[[Path], int]) -> NoReturn:
    """Call `main` with the folder that the command line names, log to standard error, and exit with its code."""
    collect_seldom()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    code = main(Path(sys.argv[1]))
    skip_last_look()
    sys.exit(code)
