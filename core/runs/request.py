"""The arguments that every run-starting tool shares."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from ..schema import Model


class RunRequest(Model):
    """What every mode's request has in common."""

    output_dir: Path
    """Folder for the results."""

    wait_s: float = Field(default=20, ge=0, le=25)
    """Seconds to wait for the end."""

    dry_run: bool = False
    """Check and estimate; write nothing."""

    overwrite: bool = False
    """Replace files of the same name."""

    rerun: bool = False
    """Start anew though the same run exists."""

    seed: int = Field(default=42, ge=0, lt=2**32)
    """Random seed."""

    @field_validator("output_dir", mode="before")
    @classmethod
    def _names_a_folder(cls, value: object) -> object:
        """An empty name would be read as the root folder itself, among whatever lies there; "." asks for that."""
        if isinstance(value, str) and not value.strip():
            raise PydanticCustomError("empty_path", 'is empty; name a folder for the results, such as "results"')
        return value
