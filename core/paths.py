"""Paths from requests: resolved, confined to the allowed roots, and refused with a reason otherwise."""

from pathlib import Path

from .errors import PathError
from .settings import Settings


def confine(path: str | Path, settings: Settings) -> Path:
    """The absolute path behind `path`, symlinks resolved, proven to lie below an allowed root.

    A relative path counts from the first root.

    Raises:
        PathError: The path lies outside every root, or no root is set.
    """
    if "\0" in str(path):
        raise PathError("The path holds a NUL character.", "Give a plain file path.")
    if not settings.roots:
        raise PathError(
            "No folder is allowed: the server was started in the home folder or in '/', which count only when named.",
            "Start the server with --root FOLDER (repeatable), or set FAION_FINETUNER_ROOTS.",
        )
    resolved = (settings.roots[0] / Path(path).expanduser()).resolve()
    if any(resolved == root or root in resolved.parents for root in settings.roots):
        return resolved
    allowed = ", ".join(str(root) for root in settings.roots)
    raise PathError(
        f"'{path}' lies outside the folders this server may use ({allowed}).",
        "Use a path below one of them, or start the server with another --root.",
    )


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
