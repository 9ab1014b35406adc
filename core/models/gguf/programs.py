"""llama.cpp's own programs, where this machine has them."""

import os
import shutil
from pathlib import Path

LLAMA_CPP_DIR = "LLAMA_CPP_DIR"


def find_program(name: str) -> Path | None:
    """A program of llama.cpp: in LLAMA_CPP_DIR where that is set, else on the PATH."""
    if named := os.environ.get(LLAMA_CPP_DIR):
        for folder in (Path(named), Path(named) / "build" / "bin", Path(named) / "bin"):
            if found := shutil.which(name, path=folder):
                return Path(found)
    found = shutil.which(name)
    return Path(found) if found else None
