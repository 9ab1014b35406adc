"""The tool `prepare`."""

from ..core.prepare.mode import MODE
from ..core.prepare.request import PrepareRequest
from ..core.prepare.result import PrepareResult
from .modes import mode_tool
from .spec import Hints, NextStep

DESCRIPTION = """\
Turn raw data into train.jsonl and valid.jsonl for fine-tuning: cleaned, without duplicates or personal data, in one \
format, checked against the model, split without leaks. Every dropped or changed row stands in ledger.jsonl. Use it \
first, with the model_name that will be trained.

Example: {"data_path": "tickets.csv", "output_dir": "work/data", "model_name": "smollm2-135m-instruct"}"""

MODEL = "<model_name>"


def next_steps(request: PrepareRequest, result: PrepareResult) -> tuple[NextStep, ...]:
    """Prepare for real after a dry run, again without a model's counts, or go on and train."""
    if result.dry_run:
        given = request.model_dump(mode="json", exclude_defaults=True, exclude={"dry_run"})
        return (NextStep(tool="prepare", arguments=given, why="Write the files that this dry run described."),)
    folder = str(request.output_dir)
    model = request.model_name or MODEL
    train = {"data_path": folder, "model_name": model, "output_dir": f"{folder}-model", "technique": "lora"}
    if any(statistics.field == "chosen" for statistics in result.token_statistics):
        train["method"] = "dpo"  # the rows are preference pairs, of which sft learns nothing but the chosen answers
    plan = NextStep(
        tool="train", arguments={**train, "dry_run": True}, why="See memory, time and disk before training."
    )
    return (NextStep(tool="train", arguments=train, why="Fine-tune on these rows."), plan)


TOOL = mode_tool(
    MODE,
    name="prepare",
    title="Prepare a dataset",
    description=DESCRIPTION,
    next_steps=next_steps,
    hints=Hints(read_only=False, destructive=False, idempotent=True, open_world=False),
)
