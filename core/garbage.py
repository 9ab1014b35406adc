"""When memory that nobody needs any more is looked for and given back."""

import ctypes
import gc
import sys

THRESHOLD = 50_000


def collect_seldom() -> None:
    """Look for objects that only refer to each other after 50,000 new ones, from now on.

    What is imported stays, and at its own, far lower threshold Python would look through all of it again and again
    while it grows: torch, transformers, peft and trl take 7.0 seconds to import so, and 5.0 with this. Rows are many
    small objects without cycles, too. Tensors in cycles live longer; `give_back_memory` finds them.
    """
    gc.set_threshold(THRESHOLD)


def skip_last_look() -> None:
    """Let Python end without looking through all objects once more, for what is freed a moment later anyway.

    A command ends 0.1 s sooner so, and a process with torch, transformers, peft, trl and a model 1.4 s (0.3 for 1.7).
    What is to be done at the end (`atexit`, threads) is done as before.
    """
    gc.freeze()


def give_back_memory() -> None:
    """Give what nobody holds any more back to the system, and to the accelerator where there is one.

    An exception holds the tensors of the step that failed: it must be out of scope.
    """
    gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):  # glibc's
        trim(0)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
