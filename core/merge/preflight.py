"""What would stop a merge or an export, found before anything is written; each refusal with a next step."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from ..checks import Check
from ..errors import ExportError, FinetunerError, ModelError
from ..models.gguf.engines import Asker, find_asker
from ..settings import Settings
from .checkpoint import Checkpoint
from .converter import REQUIREMENT, Converter, find, provide
from .export import SIXTEEN_BITS, source_format
from .job import Job
from .quantizers import BITS, Quantizer, find_quantizer
from .request import MergeRequest, Quantization
from .surroundings import kept_template_check, tokenizer_folder, vocabulary_check

MARGIN = 1.05  # headers, tokenizer, and what else is being written meanwhile


@dataclass(frozen=True, slots=True)
class Tools:
    """What the export will use."""

    converter: Converter
    quantizer: Quantizer | None
    asker: Asker | None


@dataclass(frozen=True, slots=True)
class Disk:
    """Disk space in bytes."""

    needed: int
    free: int


def prepare_export(request: MergeRequest, base: Checkpoint, settings: Settings) -> Tools | None:
    """The programs for the wanted GGUF files; None when none is wanted.

    Raises:
        ModelError: llama.cpp does not know this architecture.
        MissingExtraError: A program is missing.
    """
    if not request.gguf:
        return None
    converter = provide(settings)
    architecture = next(iter(base.config.get("architectures") or ()), "(none named)")
    if not converter.knows(architecture):
        raise ModelError(
            f"The converter ({converter.source}) does not know the architecture {architecture}.",
            "Leave gguf out and serve the merged model with transformers or vllm, or name a newer llama.cpp "
            "in LLAMA_CPP_DIR.",
        )
    quantizer = find_quantizer() if _needs_quantizer(request) else None
    return Tools(converter, quantizer, find_asker() if request.verify else None)


def _needs_quantizer(request: MergeRequest) -> bool:
    return any(quantization not in SIXTEEN_BITS for quantization in request.gguf)


def disk(job: Job, merged_bytes: int) -> Disk:
    """What the run needs at its peak, and what there is; the 16-bit file counts even when it will not stay."""
    request = job.request
    wanted: set[Quantization] = {*request.gguf, source_format(job.dtype)} if request.gguf else set()
    exports = sum(job.base.parameters * BITS[quantization] / 8 for quantization in wanted)
    existing = next(path for path in (request.output_dir, *request.output_dir.parents) if path.exists())
    merged = merged_bytes if request.adapter_paths else 0
    return Disk(int((merged + exports) * MARGIN), shutil.disk_usage(existing).free)


def refuse_full_disk(space: Disk, output_dir: Path) -> None:
    """Stop before the disk is full instead of after.

    Raises:
        ExportError: There is less space than the run needs.
    """
    if space.needed > space.free:
        raise ExportError(
            f"The run needs {space.needed / 1e9:.1f} GB in '{output_dir}', and {space.free / 1e9:.1f} GB are free.",
            "Free some space, choose an output_dir on another disk, or ask for fewer gguf files.",
        )


def tokenizer_checks(base: Checkpoint, adapter: Path | None, grown_to: int | None) -> list[Check]:
    """Whether every token has an embedding row.

    Raises:
        ModelError: One has not.
    """
    template = kept_template_check(base.folder, adapter)
    check = vocabulary_check(tokenizer_folder(base.folder, adapter), base, grown_to)
    told = [template] if template else []
    if check is None:
        return told
    if check.status == "fail":
        raise ModelError(check.details, check.next_step or "")
    return [check, *told]


def missing_tools(request: MergeRequest, settings: Settings) -> list[Check]:
    """For a dry run: what the export would lack, as checks instead of an error; nothing is fetched."""
    if not request.gguf:
        return []
    checks = []
    if find(settings) is None:
        checks.append(_missing("converter", f"{REQUIREMENT} is not here; the run would fetch it."))
    wanted = {"quantizer": find_quantizer} if _needs_quantizer(request) else {}
    wanted |= {"asker": find_asker} if request.verify else {}
    for name, finder in wanted.items():
        try:
            finder()
        except FinetunerError as error:
            checks.append(_missing(name, error.problem, error.next_step))
    return checks


def _missing(name: str, details: str, next_step: str | None = None) -> Check:
    return Check(name=name, status="fail" if next_step else "warn", details=details, next_step=next_step)
