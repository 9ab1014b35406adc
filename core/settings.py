"""What the person who starts the server decides, read from the environment once."""

import os
from pathlib import Path

import platformdirs
from pydantic import Field

from .schema import Model

ROOTS = "FAION_FINETUNER_ROOTS"
STATE = "FAION_FINETUNER_STATE"
CACHE = "FAION_FINETUNER_CACHE"
STOP_GRACE = "FAION_FINETUNER_STOP_GRACE_S"
TRUST = "FAION_FINETUNER_TRUST_REMOTE_CODE"


class Settings(Model):
    """The server's own settings; no tool argument can change them."""

    roots: tuple[Path, ...]
    """Folders that requests may read and write below; resolved, absolute."""

    state_dir: Path
    """Where the index of runs, the queue and dry runs lie."""

    cache_dir: Path
    """Where converted built-in models and other re-creatable files lie."""

    trust_remote_code: bool = False
    """Whether a model may bring Python code or pickled weights of its own."""

    stop_grace_s: float = Field(default=15, gt=0)
    """Seconds that a worker has to save a checkpoint when it is asked to stop; then its process tree is killed."""

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read FAION_FINETUNER_* variables; the roots default to the current folder.

        The root `/` and the home folder count only when named in FAION_FINETUNER_ROOTS, because desktop
        clients start servers there without anybody having chosen it: then no root is left, and every path
        is refused with a sentence that says how to name one.
        """
        named = os.environ.get(ROOTS, "")
        roots = tuple(Path(part).expanduser().resolve() for part in named.split(os.pathsep) if part)
        if not roots:
            here = Path.cwd().resolve()
            roots = () if here in (Path(here.anchor), Path.home().resolve()) else (here,)
        return cls(
            roots=roots,
            state_dir=Path(os.environ.get(STATE) or platformdirs.user_state_path("faion-finetuner")).resolve(),
            cache_dir=Path(os.environ.get(CACHE) or platformdirs.user_cache_path("faion-finetuner")).resolve(),
            stop_grace_s=float(os.environ.get(STOP_GRACE) or 15),
            trust_remote_code=os.environ.get(TRUST, "") == "1",
        )

    def as_environment(self) -> dict[str, str]:
        """These settings as variables, for a worker that must see the same ones."""
        return {
            ROOTS: os.pathsep.join(str(root) for root in self.roots),
            STATE: str(self.state_dir),
            CACHE: str(self.cache_dir),
            STOP_GRACE: str(self.stop_grace_s),
            TRUST: "1" if self.trust_remote_code else "0",
        }
