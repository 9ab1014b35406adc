"""How many processors there are to work with."""

import os


def usable_processors() -> int:
    """Those this process may use: in a container, or under taskset, fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
