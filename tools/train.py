"""train: fine-tune a model on prepared data."""

from ..core.train.mode import MODE
from ..core.train.request import TrainRequest
from ..core.train.result import TrainResult
from .modes import mode_tool
from .spec import Hints, NextStep

DESCRIPTION = """\
Fine-tune a language model on prepared rows and keep its best checkpoint: an adapter (lora, qlora) or a whole model \
(full). A non-finite loss stops before it can damage weights. dry_run first tells time, memory and disk. \
Follow it with `runs` and action wait; a stopped run can be resumed.

Example: {"model_name": "smollm2-135m-instruct", "data_path": "work/data", "output_dir": "work/model"}"""


def next_steps(request: TrainRequest, result: TrainResult) -> tuple[NextStep, ...]:
    """After a dry run train; after a training evaluate it, then merge it."""
    if request.dry_run:
        same = request.model_dump(mode="json", exclude={"dry_run"}, exclude_defaults=True)
        failed = ", ".join(check.name for check in result.checks if check.status == "fail")
        why = f"Once this is mended: {failed}." if failed else "The plan stands: train."
        return (NextStep(tool="train", arguments=same, why=why),)
    tuned = result.adapter_path or result.model_path or ""
    beside = {name: str(request.output_dir.parent / name) for name in ("evaluation", "merged")}
    evaluate = {
        "model_name": request.model_name,
        "finetuned_path": tuned,
        "data_path": result.validation_path or "<rows that were not trained on>",
        "output_dir": beside["evaluation"],
    }
    steps = [NextStep(tool="evaluate", arguments=evaluate, why="Prove on held-out rows whether it helped.")]
    if result.adapter_path:
        merge = {"model_name": request.model_name, "adapter_path": tuned, "output_dir": beside["merged"]}
        steps.append(NextStep(tool="merge", arguments=merge, why="Once it has proved itself: one model to ship."))
    return tuple(steps)


TOOL = mode_tool(
    MODE,
    name="train",
    title="Fine-tune a model",
    description=DESCRIPTION,
    next_steps=next_steps,
    hints=Hints(read_only=False, destructive=False, idempotent=True, open_world=False),
)
