"""What this machine has, and the number format that suits it, with the reason."""

import platform
from functools import cache
from pathlib import Path
from typing import Literal

import psutil

from .. import extras
from ..processors import usable_processors
from ..schema import Model

Dtype = Literal["bfloat16", "float16", "float32"]
BF16_CPU_FLAGS = ("amx_bf16", "avx512_bf16")


class Machine(Model):
    """What this machine offers to a model."""

    device: Literal["cuda", "mps", "cpu"]
    """Where models are loaded."""

    device_name: str
    """The accelerator's or processor's name."""

    gpu_memory_total_bytes: int | None = None
    """Memory of the first GPU; null without one."""

    host_memory_total_bytes: int
    """Main memory."""

    cpu_count: int
    """Processors this process may use."""

    dtype: Dtype
    """Number format for weights and arithmetic."""

    dtype_reason: str
    """Why that one."""


class _Choice(Model):
    dtype: Dtype
    reason: str


def look() -> Machine:
    """What is here.

    Raises:
        MissingExtraError: torch is not installed.
    """
    torch = extras.require("torch", "Working with a model")
    host = {"host_memory_total_bytes": psutil.virtual_memory().total, "cpu_count": usable_processors()}
    if torch.cuda.is_available():
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return Machine(
            device="cuda",
            device_name=torch.cuda.get_device_name(0),
            gpu_memory_total_bytes=torch.cuda.get_device_properties(0).total_memory,
            dtype="bfloat16" if bf16 else "float32",
            dtype_reason="the GPU computes bfloat16 natively"
            if bf16
            else "this GPU has no bfloat16, float16 overflows",
            **host,
        )
    if torch.backends.mps.is_available():
        return Machine(
            device="mps",
            device_name=platform.processor() or "Apple GPU",
            dtype="float32",
            dtype_reason="safe on every Apple GPU",
            **host,
        )
    chosen = cpu_dtype(_cpu_flags())
    return Machine(device="cpu", device_name=_cpu_name(), dtype=chosen.dtype, dtype_reason=chosen.reason, **host)


def cpu_dtype(flags: frozenset[str]) -> _Choice:
    """bfloat16 where the processor multiplies it natively; emulated it is 30 to 200 times slower than float32."""
    for flag in BF16_CPU_FLAGS:
        if flag in flags:
            return _Choice(dtype="bfloat16", reason=f"the processor multiplies bfloat16 natively ({flag})")
    return _Choice(dtype="float32", reason="the processor has no bfloat16 arithmetic")


def multiplies_float32_well() -> bool:
    """Whether this machine's processor takes hardly more than twice as long for float32 as for bfloat16."""
    return "amx_bf16" not in _cpu_flags()  # with AMX it takes about ten times as long


CONTROL_GROUP = Path("/sys/fs/cgroup")


def free_memory_bytes() -> int:
    """Main memory that this process may still take: what is free here, or what its control group leaves it."""
    free = psutil.virtual_memory().available
    try:
        limit, used = (int((CONTROL_GROUP / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no such group, or "max"
        return free
    return min(free, max(0, limit - used))


@cache
def _cpu_flags() -> frozenset[str]:
    return frozenset(_cpuinfo("flags").split())


def _cpu_name() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(key: str) -> str:
    """The first processor's value in /proc/cpuinfo; empty where there is none."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
