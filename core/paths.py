"""Paths from requests: resolved, confined to the allowed roots, and refused with a reason otherwise."""

import os
from pathlib import Path

from .errors import PathError
from .settings import Settings
from .untrusted import quote

LONGEST_NAME = 255  # bytes of one name in a path, on every usual file system


def confine(path: str | Path, settings: Settings) -> Path:
    """The absolute path behind `path`, symlinks resolved, proven to lie below an allowed root.

    A relative path counts from the first root.

    Raises:
        PathError: It can be no path, or lies outside every root, or no root is set.
    """
    if (problem := _impossible(path)) is not None:
        raise PathError(problem, "Give the path of a file or folder; data itself goes into a file first.")
    if not settings.roots:
        raise PathError(
            "No folder is allowed: the server was started in the home folder or in '/', which count only when named.",
            "Start the server with --root FOLDER (repeatable), or set FAION_FINETUNER_ROOTS.",
        )
    try:
        resolved = (settings.roots[0] / Path(path).expanduser()).resolve()
    except (OSError, RuntimeError) as error:  # links in a circle, or the home of nobody
        raise PathError(f"'{path}' leads nowhere: {error}.", "Give the path itself, without ~ or links.") from error
    if any(resolved == root or root in resolved.parents for root in settings.roots):
        return resolved
    allowed = ", ".join(str(root) for root in settings.roots)
    raise PathError(
        f"'{path}' lies outside the folders this server may use ({allowed}).",
        "Use a path below one of them, or start the server with another --root.",
    )


def _impossible(path: str | Path) -> str | None:
    """What keeps a text from being the path of anything; None when nothing does."""
    text = str(path)
    if "\0" in text:
        return "The path holds a NUL character."
    try:
        longest = max((len(os.fsencode(part)) for part in Path(text).parts), default=0)
    except UnicodeEncodeError:
        return f"{quote(text)} holds half characters, which no path has."
    return f"{quote(text)} is too long for a path." if longest > LONGEST_NAME or len(text) > 4096 else None


def existing(path: str | Path, settings: Settings, what: str) -> Path:
    """The confined path of a file or folder that is there.

    Raises:
        PathError: It is outside the roots, or missing; then the nearest name in its folder is offered.
    """
    resolved = confine(path, settings)
    if resolved.exists():
        return resolved
    raise PathError(f"{what} '{path}' does not exist.", _nearest_name(resolved))


def _nearest_name(path: Path) -> str:
    from difflib import get_close_matches

    parent = path.parent
    if not parent.is_dir():
        return f"The folder '{parent}' does not exist either; check the path."
    names = get_close_matches(path.name, [entry.name for entry in parent.iterdir()], n=1, cutoff=0.6)
    return f"Did you mean '{parent / names[0]}'?" if names else "Check the path; it is read below the server's roots."
