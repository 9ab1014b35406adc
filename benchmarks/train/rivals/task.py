"""What every contender is given, and what it hands back; runs in each one's environment, so it needs none of ours."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

CLOCK_TICKS_UNTIL_START = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
STARTED = CLOCK_TICKS_UNTIL_START / os.sysconf("SC_CLK_TCK")
"""Of this process, in seconds since the machine's own: what was imported before this file counts, too."""

TASK: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
"""model, rows, tokenised, data, output (paths); rank, alpha, learning_rate, batch_size, accumulation, warmup, decay,
seed, longest, dtype."""

RESULT = Path(TASK["output"]) / "result.json"
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def rows() -> list[dict[str, list[int]]]:
    """The training rows: input_ids and labels, in which -100 stands for no loss."""
    return [json.loads(line) for line in Path(TASK["rows"]).read_text(encoding="utf-8").splitlines()]


def clock() -> Any:
    """A callback that writes down when the training began, when each step ended, and where."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.steps: list[dict[str, float]] = []

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.steps = [self.now()]

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.steps.append(self.now())
            RESULT.write_text(json.dumps(self.steps), encoding="utf-8")

        def now(self) -> dict[str, float]:
            return {"wall_s": time.clock_gettime(time.CLOCK_BOOTTIME) - STARTED, "cpu_s": time.process_time()}

    return Clock()


def sft_arguments() -> dict[str, Any]:
    """The recipe in the names of TRL."""
    return {
        "output_dir": TASK["output"],
        "per_device_train_batch_size": TASK["batch_size"],
        "gradient_accumulation_steps": TASK["accumulation"],
        "num_train_epochs": 1,
        "learning_rate": TASK["learning_rate"],
        "lr_scheduler_type": "cosine",
        "warmup_steps": TASK["warmup"],
        "weight_decay": TASK["decay"],
        "max_length": TASK["longest"],
        "seed": TASK["seed"],
        "save_strategy": "no",
        "report_to": "none",
        "logging_steps": 1,
        "disable_tqdm": True,
    }
