"""The recipe with faion-finetuner, through the function that its worker calls for the tool `train`."""

from pathlib import Path

from task import TASK, clock  # isort: skip - the clock starts first
from faion_finetuner.core.runs.active import ActiveRun
from faion_finetuner.core.runs.record import RunFolder, RunStatus, now
from faion_finetuner.core.settings import Settings
from faion_finetuner.core.train.job import run
from faion_finetuner.core.train.request import TrainRequest, resolve
from transformers import trainer

request = TrainRequest.model_validate(
    {
        "data_path": TASK["data"],
        "model_name": TASK["model"],
        "output_dir": TASK["output"],
        "hyperparameters": {
            "rank": TASK["rank"],
            "alpha": TASK["alpha"],
            "learning_rate": TASK["learning_rate"],
            "batch_size": TASK["batch_size"],
            "gradient_accumulation": TASK["accumulation"],
            "epochs": 1,
            "warmup_ratio": TASK["warmup"],
            "weight_decay": TASK["decay"],
            "dtype": TASK["dtype"],
            "logging_steps": 1,
            "save_steps": 10_000,
        },
        "seed": TASK["seed"],
    }
)
trainer.DEFAULT_CALLBACKS.append(clock())
folder = RunFolder(path=Path(TASK["output"]) / ".run")
folder.path.mkdir(parents=True)
folder.write_status(RunStatus(status="running", launched_at=now()))
run(resolve(request, Settings.from_environment()), ActiveRun(folder, Path(TASK["output"])))
