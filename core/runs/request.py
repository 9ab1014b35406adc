"""The arguments that every run-starting tool shares."""

from pathlib import Path

from pydantic import Field

from ..schema import Model


class RunRequest(Model):
    """What every mode's request has in common."""

    output_dir: Path
    """Folder for all that the run leaves behind. Relative paths count from the server's first root."""

    wait_s: float = Field(default=20, ge=0, le=25)
    """Seconds to wait for the end before answering with a run_id for `runs`."""

    dry_run: bool = False
    """Only check and estimate; write nothing into output_dir."""

    overwrite: bool = False
    """Replace files of the same name in output_dir."""

    rerun: bool = False
    """Start anew even if the same request is running or done."""

    seed: int = Field(default=42, ge=0, lt=2**32)
    """Seed of every random choice."""
