"""evaluate: prove whether fine-tuning helped."""

from ..core.evaluate.mode import MODE
from ..core.evaluate.reporting.wording import predicts_worse, trained_too_much
from ..core.evaluate.request import EvaluateRequest, is_adapter
from ..core.evaluate.result import EvaluateResult
from ..core.models.source import hosted_id
from .modes import mode_tool
from .spec import Hints, NextStep

DESCRIPTION = """\
Measure a base model and its fine-tuned version on the same held-out rows, and say whether the difference is more than \
chance: perplexity, task scores that fit the answers, benchmarks, samples, and whether other abilities were lost. Use \
it after `train`, on rows that were not trained on.

Example: {"model_name": "smollm2-135m-instruct", "finetuned_path": "work/model", "data_path": "work/data", \
"output_dir": "work/evaluation"}"""


def next_steps(request: EvaluateRequest, result: EvaluateResult) -> tuple[NextStep, ...]:
    """What waits for a judge first; then, after a good result merge, after a bad one train again."""
    return (*_to_judge(result), *_by_verdict(request, result))


def _to_judge(result: EvaluateResult) -> tuple[NextStep, ...]:
    judging = result.judging
    if judging is None or judging.judge == "endpoint" or judging.judged == judging.pairs:
        return ()
    call = {"action": "judge", "run_id": judging.run_id}
    if judging.page_path is None:
        return (NextStep(tool="runs", arguments=call, why="Judge the answers blind, page by page."),)
    call["votes_path"] = "<what people exported from judge.html>"
    return (NextStep(tool="runs", arguments=call, why="Count the votes of those who judged on the page."),)


def _by_verdict(request: EvaluateRequest, result: EvaluateResult) -> tuple[NextStep, ...]:
    if request.dry_run:
        same = request.model_dump(mode="json", exclude={"dry_run"}, exclude_defaults=True)
        return (NextStep(tool="evaluate", arguments=same, why="Nothing stands in the way: measure."),)
    if hosted_id(request.model_name) is not None:
        return _after_hosted(request, result)
    shared = {"model_name": request.model_name}
    beside = {name: str(request.output_dir.parent / name) for name in ("merged", "trained")}
    prepared = request.data_path.parent
    rows = str(prepared) if (prepared / "train.jsonl").is_file() else "<training rows>"
    train = {**shared, "data_path": rows, "output_dir": beside["trained"]}
    if result.verdict == "base only":
        return (NextStep(tool="train", arguments=train, why="Train, then evaluate again with finetuned_path."),)
    merge = {**shared, "adapter_path": str(request.finetuned_path), "output_dir": beside["merged"], "gguf": ["q4_k_m"]}
    if result.verdict in ("improved", "mixed") and request.finetuned_path and is_adapter(request.finetuned_path):
        return (NextStep(tool="merge", arguments=merge, why="Make one model of base and adapter, and a GGUF to run."),)
    again = {**train, "output_dir": beside["trained"] + "-2"}
    too_much = predicts_worse(result) or trained_too_much(result)
    if result.verdict == "regressed" or (result.verdict == "no evidence" and too_much):
        gentler = again | {"hyperparameters": {"learning_rate": 1e-4}}
        return (NextStep(tool="train", arguments=gentler, why="Train again, more gently than by default."),)
    if result.verdict == "no evidence":
        longer = again | {"hyperparameters": {"epochs": 6}}
        return (NextStep(tool="train", arguments=longer, why="Train again for longer than by default."),)
    return ()


def _after_hosted(request: EvaluateRequest, result: EvaluateResult) -> tuple[NextStep, ...]:
    base, tuned = hosted_id(request.model_name), hosted_id(request.finetuned_path)
    if tuned is not None and result.verdict in ("improved", "mixed"):
        chat = {"action": "chat", "model": tuned, "prompt": "<prompt>"}
        return (NextStep(tool="openai", arguments=chat, why="Ask the tuned model."),)
    if tuned is not None and result.verdict != "regressed":
        return ()
    again = {"action": "start", "model": base, "data_path": "<training rows>", "dry_run": True}
    return (NextStep(tool="openai", arguments=again, why="See what tuning this model would send away and cost."),)


TOOL = mode_tool(
    MODE,
    name="evaluate",
    title="Evaluate a fine-tuned model",
    description=DESCRIPTION,
    next_steps=next_steps,
    hints=Hints(read_only=False, destructive=False, idempotent=True, open_world=True),
)
