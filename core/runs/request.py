"""The arguments that every run-starting tool shares."""

from pathlib import Path

from pydantic import Field

from ..schema import Model


class RunRequest(Model):
    """What every mode's request has in common."""

    output_dir: Path
    """Folder for everything that the run leaves behind; created when missing.

    A relative path counts from the server's first root."""

    wait_s: float = Field(default=20, ge=0, le=25)
    """Seconds to wait for the end before answering with a handle for `runs`, 0 to 25."""

    dry_run: bool = False
    """Resolve and check everything and estimate time, memory, disk and money, but write nothing into output_dir."""

    overwrite: bool = False
    """Allow the run to replace files of the same name in output_dir."""

    rerun: bool = False
    """Start again even though the same request is running or done; otherwise that run is the answer."""

    seed: int = Field(default=42, ge=0, lt=2**32)
    """Seed of every random choice."""
