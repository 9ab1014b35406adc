"""Data sets of the model hub, fetched into its local cache, which keeps them for the next time."""

from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import unquote

from ..errors import DataError, InputError
from ..untrusted import quote

SCHEME = "hf://datasets/"
BENCHMARKS = {
    "arc": "allenai/ai2_arc",
    "gsm8k": "openai/gsm8k",
    "hellaswag": "Rowan/hellaswag",
    "humaneval": "openai/openai_humaneval",
    "ifeval": "google/IFEval",
    "mbpp": "google-research-datasets/mbpp",
    "mmlu": "cais/mmlu",
    "truthfulqa": "truthfulqa/truthful_qa",
    "winogrande": "allenai/winogrande",
}
"""Benchmarks by the names that people use -> where the hub has them."""


def is_hub_entry(entry: str) -> bool:
    """Whether an entry of data_path names a data set of the hub."""
    return entry.startswith(SCHEME)


def fetch(entry: str, suffixes: tuple[str, ...]) -> tuple[Path, ...]:
    """The files of `hf://datasets/owner/name`, or of what a path or glob after it names, by name.

    Args:
        entry: The data set, with @revision after its name when not the newest one is meant; a slash in it as %2F.
        suffixes: Endings of the files that are data; a path that is named in full is fetched whatever its ending.

    Raises:
        InputError: The entry names no data set.
        DataError: The hub refuses or cannot be reached, or the data set has no such files.
    """
    name, revision, inside = _parts(entry)
    patterns = [inside, f"{inside}/*"] if inside else [f"*{suffix}" for suffix in suffixes]
    folder = _snapshot(name, revision, patterns)
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    wanted = [path for path in found if any(fnmatch(str(path.relative_to(folder)), one) for one in patterns)]
    if inside not in {str(path.relative_to(folder)) for path in wanted}:  # a folder or glob: its data only
        wanted = [path for path in wanted if path.name.endswith(suffixes)]
    if not wanted:
        raise DataError(
            f"The data set {quote(name, 120)} has no files like {quote(inside or 'data files', 120)}.",
            "Look at its files on the hub, and name a path or glob behind its name.",
        )
    return tuple(wanted)


def _parts(entry: str) -> tuple[str, str | None, str]:
    owner, _, rest = entry.removeprefix(SCHEME).partition("/")
    name, _, inside = rest.partition("/")
    name, _, revision = name.partition("@")
    if not owner or not name or ".." in inside.split("/"):
        raise InputError(f"{quote(entry, 120)} names no data set.", f"Write {SCHEME}owner/name, or a path below it.")
    return f"{owner}/{name}", unquote(revision) or None, inside.strip("/")


def _snapshot(name: str, revision: str | None, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=patterns))
    except GatedRepoError as error:
        step = "Accept its terms on the hub, and set HF_TOKEN in the server's environment."
        raise DataError(f"The data set {quote(name, 120)} is gated.", step) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        step = "Check the name and the revision; a private one needs HF_TOKEN in the server's environment."
        raise DataError(f"The hub has no data set {quote(name, 120)}, or hides it.", step) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        step = "Connect to the network, or give files that are on this machine."
        problem = f"The data set {quote(name, 120)} is not in the local cache, and the hub cannot be reached."
        raise DataError(problem, step) from error
