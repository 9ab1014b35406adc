"""What this machine can do, and what is missing, each with the line that mends it."""

import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from ..core.checks import Check, worst
from ..core.errors import FinetunerError
from ..core.extras import INSTALL_LINE
from ..core.merge import converter
from ..core.models import machine, source
from ..core.reports.markdown import bytes_size, check_table
from ..core.settings import Settings

LOCAL = ("torch", "transformers", "datasets", "peft", "trl", "accelerate", "bitsandbytes", "lm-eval", "matplotlib")
MIN_FREE_BYTES = 10_000_000_000  # a 7B model's adapter run with its checkpoints, and room to convert


def doctor() -> int:
    """Print what was found; returns 0 unless something that every run needs is missing."""
    settings = Settings.from_environment()
    checks = [check(settings) for check in CHECKS]
    steps = [f"- {check.name}: {check.next_step}" for check in checks if check.next_step]
    text = "# Doctor\n\n" + check_table(checks) + ("\nNext:\n\n" + "\n".join(steps) + "\n" if steps else "")
    sys.stdout.write(text)
    return 1 if worst(checks) == "fail" else 0


def _python(settings: Settings) -> Check:
    return Check(name="Python", status="pass", details=f"{sys.version.split()[0]} at {sys.executable}")


def _packages(settings: Settings) -> Check:
    versions = {name: _version(name) for name in LOCAL}
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        problem = f"not installed: {', '.join(missing)}; without them data can be prepared, but nothing trained here"
        return Check(name="Local training", status="warn", details=problem, next_step=f"Run: {INSTALL_LINE}")
    found = ", ".join(f"{name} {version}" for name, version in versions.items())
    return Check(name="Local training", status="pass", details=found)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _device(settings: Settings) -> Check:
    try:
        found = machine.look()
    except FinetunerError as error:
        return Check(name="Device", status="warn", details=error.problem, next_step=error.next_step)
    memory = f"{bytes_size(found.host_memory_total_bytes)} of memory, {found.cpu_count} processors"
    if found.gpu_memory_total_bytes:
        memory = f"{bytes_size(found.gpu_memory_total_bytes)} of GPU memory, {memory}"
    details = f"{found.device} ({found.device_name}), {memory}; {found.dtype}, because {found.dtype_reason}"
    return Check(name="Device", status="pass", details=details)


def _roots(settings: Settings) -> Check:
    if not settings.roots:
        problem = "no folder is allowed, since this is the home folder or '/'"
        step = "Start the server in a project folder, or with --root FOLDER."
        return Check(name="Allowed folders", status="warn", details=problem, next_step=step)
    return Check(name="Allowed folders", status="pass", details=", ".join(str(root) for root in settings.roots))


def _state(settings: Settings) -> Check:
    folder = _nearest_existing(settings.state_dir)
    free = shutil.disk_usage(folder).free
    details = f"{bytes_size(free)} free beside {settings.state_dir}"
    if free < MIN_FREE_BYTES:
        return Check(name="Disk", status="warn", details=details, next_step="Free some space before you train.")
    return Check(name="Disk", status="pass", details=details)


def _nearest_existing(path: Path) -> Path:
    return path if path.exists() else _nearest_existing(path.parent)


def _built_in_model(settings: Settings) -> Check:
    name = next(iter(source.BUILTIN))
    try:
        source.resolve_model(name, settings)
    except FinetunerError as error:
        return Check(name="Built-in model", status="warn", details=error.problem, next_step=error.next_step)
    return Check(name="Built-in model", status="pass", details=name)


def _gguf_export(settings: Settings) -> Check:
    found = converter.find(settings)
    if found is None:
        step = f"Run: {sys.executable} -P -m faion_finetuner.core.merge.converter"
        problem = (
            "the converter to GGUF is not here; it is fetched at the first export, where a package index is in reach"
        )
        return Check(name="GGUF export", status="warn", details=problem, next_step=step)
    return Check(name="GGUF export", status="pass", details=found.source)


CHECKS: tuple[Callable[[Settings], Check], ...] = (
    _python,
    _packages,
    _device,
    _roots,
    _state,
    _built_in_model,
    _gguf_export,
)
