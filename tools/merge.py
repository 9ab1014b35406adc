"""The tool `merge`."""

from ..core.merge.mode import MODE
from ..core.merge.request import MergeRequest
from ..core.merge.result import MergeResult
from .modes import mode_tool
from .spec import Hints, NextStep

DESCRIPTION = """\
Leave a model that serves on its own: the adapter merged into its base and proven to predict the same, with GGUF \
files (each loaded and asked), an Ollama Modelfile and the commands to serve it. Use it once `evaluate` says that the \
adapter helped.

Example: {"model_name": "smollm2-135m-instruct", "adapter_path": "work/model", "output_dir": "work/export", \
"gguf": ["q8_0"]}"""


def next_steps(request: MergeRequest, result: MergeResult) -> tuple[NextStep, ...]:
    """Do it for real, then measure what was made."""
    arguments = request.model_dump(mode="json", exclude_defaults=True)
    if result.plan is not None:
        return (NextStep(tool="merge", arguments=arguments | {"dry_run": False}, why="Merge for real."),)
    steps = []
    if result.merged_path is not None:
        measure = {
            "model_name": request.model_name,
            "finetuned_path": str(result.merged_path),
            "data_path": "<held-out rows>",
            "output_dir": str(request.output_dir / "evaluation"),
        }
        steps.append(NextStep(tool="evaluate", arguments=measure, why="Measure the merged model on held-out rows."))
    if result.merged_path is not None and not result.exports:
        export = {
            "model_name": str(result.merged_path),
            "output_dir": str(request.output_dir / "gguf"),
            "gguf": ["q8_0", "q4_k_m"],
        }
        steps.append(NextStep(tool="merge", arguments=export, why="Make GGUF files for llama.cpp and Ollama."))
    return tuple(steps)


TOOL = mode_tool(
    MODE,
    name="merge",
    title="Merge and export a model",
    description=DESCRIPTION,
    next_steps=next_steps,
    hints=Hints(read_only=False, destructive=False, idempotent=True, open_world=True),
)
