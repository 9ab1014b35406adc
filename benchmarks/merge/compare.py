"""Time and peak memory of merging, beside copying the files and beside merge_and_unload + save_pretrained.

    python benchmarks/merge/compare.py FOLDER [--sizes 0.1 0.5 1 3] [--repeats 3] [--ways copy ours peft] [--limit-gb 1]

Makes random models of these sizes (GB, bfloat16) in FOLDER, merges a rank-16 adapter on all linear layers into each by
every way in turn, each in a process of its own, and prints a table: of each way the quickest run, since what else the
machine does only adds to it, and the most memory. What a process uses before it starts to merge (Python, torch,
transformers) is told apart: `memory` is the peak above that. The last rows merge the largest model in a process that
may not allocate more than the limit.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

WAYS = ("copy", "ours", "peft", "peft fp32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.1, 0.5, 1, 3])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="copy must be among them")
    parser.add_argument("--limit-gb", type=float, default=1)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        way, limit = arguments.one
        _say(json.dumps(_measured(arguments.folder, way, float(limit))))
        return
    _say("| model | way | seconds | against copying | CPU seconds | memory, MB | load |\n|---|---|--:|--:|--:|--:|--:|")
    for size in arguments.sizes:
        _compare(_made(arguments.folder / f"{size:g}", size), f"{size:g} GB", arguments.repeats, arguments.ways)
    largest = arguments.folder / f"{max(arguments.sizes):g}"
    for way in ("ours", "peft"):
        found = _run(largest, way, arguments.limit_gb)
        words = f"{found['seconds']:.1f} s, {found['memory_mb']:.0f} MB" if found else "failed: out of memory"
        _say(f"\n{max(arguments.sizes):g} GB under a limit of {arguments.limit_gb:g} GB, {way}: {words}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _made(folder: Path, size: float) -> Path:
    from models import make_adapter, make_model

    if not folder.exists():
        make_adapter(make_model(folder / "base", size), folder / "adapter")
    return folder


def _compare(folder: Path, name: str, repeats: int, ways: Sequence[str]) -> None:
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(repeats):  # in turn, so that what else the machine does hits all of them
        for way in ways:
            if found := _run(folder, way, 0):
                runs[way].append(found)
    copying, load = min(run["seconds"] for run in runs["copy"]), os.getloadavg()[0]
    for way, found in runs.items():
        if not found:
            _say(f"| {name} | {way} | failed | | | | {load:.0f} |")
            continue
        seconds, cpu = (min(run[key] for run in found) for key in ("seconds", "cpu_s"))
        memory = max(run["memory_mb"] for run in found)
        _say(f"| {name} | {way} | {seconds:.2f} | {seconds / copying:.2f} | {cpu:.2f} | {memory:.0f} | {load:.0f} |")


def _run(folder: Path, way: str, limit_gb: float) -> dict[str, float] | None:
    command = [sys.executable, __file__, str(folder), "--one", way, str(limit_gb)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def _measured(folder: Path, way: str, limit_gb: float) -> dict[str, float]:
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    work = {"copy": _copy, "ours": _ours, "peft": _peft("bfloat16"), "peft fp32": _peft("float32")}[way]
    ready = work(folder, out)
    if limit_gb:
        limit = int(limit_gb * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    os.sync()
    _touch_memory(folder)
    before, cpu, began = _peak_mb(), _cpu_s(), time.perf_counter()
    ready()
    seconds, cpu, memory = time.perf_counter() - began, _cpu_s() - cpu, _peak_mb() - before
    shutil.rmtree(out, ignore_errors=True)
    return {"seconds": seconds, "cpu_s": cpu, "memory_mb": memory}


def _touch_memory(folder: Path) -> None:
    """Let the system hold as much memory as the result will take of its page cache.

    On a virtual machine, memory that was free for some seconds belongs to the host again, and the first to write into
    it waits four to ten times as long: else a way that starts sooner after the last one's end would look quicker.
    """
    size = sum(file.stat().st_size for file in (folder / "base").iterdir())
    part = bytes(1 << 20)
    with (folder / "touched").open("wb") as file:
        for _ in range(size // len(part) + 1):
            file.write(part)
    (folder / "touched").unlink()


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _cpu_s() -> float:
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def _copy(folder: Path, out: Path) -> Callable[[], object]:
    out.mkdir()
    return lambda: subprocess.run(["cp", "-r", str(folder / "base"), str(out)], check=True)


def _ours(folder: Path, out: Path) -> Callable[[], object]:
    """The whole mode with its checks, but for the verification, which the other ways do not have."""
    from faion_finetuner.core.merge.merge import run
    from faion_finetuner.core.merge.request import MergeRequest, resolve
    from faion_finetuner.core.runs.active import ActiveRun
    from faion_finetuner.core.runs.record import RunFolder, RunStatus, now
    from faion_finetuner.core.settings import ROOTS, Settings

    for library in ("torch", "huggingface_hub.repocard_data"):  # before the clock starts, as of the other ways
        import_module(library)
    os.environ[ROOTS] = str(folder)
    settings = Settings.from_environment()
    given = MergeRequest(model_name=str(folder / "base"), adapter_path=folder / "adapter", output_dir=out, verify=False)
    record = RunFolder(path=out / ".run")
    record.path.mkdir(parents=True)
    record.write_status(RunStatus(status="running", launched_at=now()))
    request = resolve(given, settings)
    return lambda: run(request, ActiveRun(record, out))


def _peft(dtype: str) -> Callable[[Path, Path], Callable[[], object]]:
    def prepare(folder: Path, out: Path) -> Callable[[], object]:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        import_module("transformers.models.llama.modeling_llama")  # before the clock starts

        def merge() -> None:
            base = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=getattr(torch, dtype))
            merged = PeftModel.from_pretrained(base, folder / "adapter").merge_and_unload(safe_merge=True)
            merged.to(torch.bfloat16).save_pretrained(out)

        return merge

    return prepare


if __name__ == "__main__":
    main()
