"""What a dry run says of memory is what the system then counts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from faion_finetuner.core.merge import memory
from faion_finetuner.core.settings import ROOTS, Settings

from ..tiny import tiny_model
from .support import make_adapter, merge

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft
STATUS = Path("/proc/self/status")
MERGE = (
    "import sys; from pathlib import Path; from faion_finetuner.core.settings import Settings;"
    "from tests.merge.support import merge;"
    "merge(Settings.from_environment(), model_name=sys.argv[1], adapter_path=Path(sys.argv[2]),"
    "output_dir=Path(sys.argv[3]), verify=sys.argv[4] == 'verify');"
    "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
)


def planned(settings: Settings, **arguments: object) -> int:
    result = merge(settings, output_dir=settings.roots[0] / "planned", dry_run=True, **arguments)
    assert result.plan is not None
    return result.plan.memory_bytes


@pytest.mark.skipif(not STATUS.is_file(), reason="the peak is counted by Linux")
@pytest.mark.parametrize("verify", [True, False], ids=["verified", "not_verified"])
def test_the_estimate_is_near_the_peak(settings, verify):
    root = settings.roots[0]
    base = tiny_model(root / "base", hidden=256, layers=4)
    adapter = make_adapter(base, root / "adapter")
    command = [sys.executable, "-c", MERGE, str(base), str(adapter), str(root / "out"), "verify" if verify else "not"]
    environment = os.environ | {ROOTS: str(root)}
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True, check=True
    )
    peak = int(done.stdout.split()[-1]) * 1024
    assert 0.75 < planned(settings, model_name=str(base), adapter_path=adapter, verify=verify) / peak < 1.4


def test_what_takes_more_is_told_as_more(settings, monkeypatch):
    root = settings.roots[0]
    base = tiny_model(root / "base", hidden=256, layers=4)
    first, second = (make_adapter(base, root / name, seed=seed) for seed, name in enumerate(("first", "second")))
    monkeypatch.setattr(memory, "find_program", lambda _: None)
    one = {"model_name": str(base), "adapter_path": first}
    two = {"model_name": str(base), "adapter_path": (first, second)}
    plain = planned(settings, **one, verify=False)
    exported = planned(settings, **one, verify=False, gguf=("f16",))
    weighed = planned(settings, **one, verify=False, gguf=("q4_k_m",))
    assert plain < exported
    assert plain < weighed
    summed = planned(settings, **two, strategy="linear")
    assert planned(settings, **one) < summed < planned(settings, **two, strategy="ties")


def test_only_processors_that_the_process_may_use_count(settings, monkeypatch):
    """In a container they are fewer than the machine has; each takes a block."""
    root = settings.roots[0]
    base = tiny_model(root / "base", hidden=256, layers=4)
    arguments = {"model_name": str(base), "adapter_path": make_adapter(base, root / "adapter"), "verify": False}
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    told = []
    for allowed in ({3}, {0, 3, 5}):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, allowed=allowed: allowed, raising=False)
        told.append(planned(settings, **arguments))
    largest = 2 * 256 * 256  # the MLP's matrices
    assert told[1] - told[0] == 2 * memory.BLOCK * largest
