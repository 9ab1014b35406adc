"""The whole way on the built-in model: a client starts the server over stdio and calls its tools.

Leaves everything in one folder: the messy sample, what each step made of it, and summary.json with the typed results.
"""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters

from ...core import files
from .sample import HYPERPARAMETERS, write_sample

MODEL = "smollm2-135m-instruct"
GGUF = ["q8_0", "q4_k_m"]
SHORTEST_ROW = 20  # tokens of message and record together; a good row has three times as many


class StepFailed(Exception):
    """A step of the demo did not succeed; the message is what the server said."""


async def walk(output: Path, rows: int = 400, hyperparameters: Mapping[str, float] = HYPERPARAMETERS) -> int:
    """Go the whole way in `output`; returns 0 when every step succeeded.

    A folder of an earlier demo is used again: its steps are done anew and replace their own files.
    """
    output = output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    truth = write_sample(output / "raw.jsonl", rows=rows)
    say(f"A messy sample of {truth.lines} rows, {truth.usable} of them worth keeping: {output / 'raw.jsonl'}")
    serve = ["-P", "-m", "faion_finetuner.server.command", "serve", "--root", str(output)]
    server = StdioServerParameters(command=sys.executable, args=serve, cwd=str(output))
    results: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    try:
        async with Client(server) as client:
            for tool, arguments in steps(output, hyperparameters):
                began = time.monotonic()
                results[tool] = await carry_out(client, tool, arguments)
                seconds[tool] = round(time.monotonic() - began, 1)
                say(f"{tool} took {seconds[tool]} s")
    except StepFailed as error:
        say(f"The demo ends here. {error}")
        return 1
    seconds["total"] = round(sum(seconds.values()), 1)
    summary = results | {"planted": truth.model_dump(), "seconds": seconds}
    files.write_text(output / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    say(closing_words(results, seconds["total"], output))
    return 0


def steps(output: Path, hyperparameters: Mapping[str, float]) -> tuple[tuple[str, dict[str, Any]], ...]:
    """The calls, in order; each writes into a folder of its own."""
    again = {"overwrite": True, "rerun": True}
    data, model, adapter = output / "data", output / "model", output / "model" / "adapter"
    return (
        (
            "prepare",
            again
            | {
                "data_path": str(output / "raw.jsonl"),
                "model_name": MODEL,
                "min_length": SHORTEST_ROW,
                "output_dir": str(data),
            },
        ),
        (
            "train",
            again
            | {
                "data_path": str(data),
                "model_name": MODEL,
                "output_dir": str(model),
                "hyperparameters": dict(hyperparameters),
            },
        ),
        (
            "evaluate",
            again
            | {
                "model_name": MODEL,
                "finetuned_path": str(adapter),
                "data_path": str(data / "valid.jsonl"),
                "output_dir": str(output / "evaluation"),
            },
        ),
        (
            "merge",
            again
            | {"model_name": MODEL, "adapter_path": str(adapter), "output_dir": str(output / "export"), "gguf": GGUF},
        ),
    )


async def carry_out(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Call a tool, wait for its run to end, and print its report.

    Raises:
        StepFailed: The call was refused, or the run did not succeed.
    """
    say(f"--- {tool} {json.dumps(arguments, indent=2)}")
    reply = await call(client, tool, arguments)
    while reply["status"] in ("queued", "running"):
        progress = reply["progress"] or {}
        share = f" {progress['done']:g}/{progress['total']:g} {progress['unit']}" if progress.get("total") else ""
        say(f"{tool}: {reply['status']}{share} {progress.get('message', '')}".rstrip())
        reply = await call(client, "runs", {"action": "wait", "run_id": reply["run_id"]})
    if reply["status"] != "succeeded":
        error = reply["error"] or {"problem": reply["status"], "next_step": ""}
        raise StepFailed(f"{tool} {reply['status']}: {error['problem']} {error['next_step']}")
    say(reply["report_markdown"])
    return reply["result"]


async def call(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """One tool call's structured content.

    Raises:
        StepFailed: The tool answered with an error.
    """
    answer = await client.call_tool(tool, arguments)
    if answer.is_error or answer.structured_content is None:
        raise StepFailed(" ".join(getattr(block, "text", "") for block in answer.content))
    return answer.structured_content


def closing_words(results: dict[str, Any], total_s: float, output: Path) -> str:
    """What the demo showed, in a few lines."""
    scores = [score for score in results["evaluate"]["scores"] if score["metric"] == "exact_match"]
    lines = [
        f"Exact match on held-out rows: base {s['base']:.1%}, tuned {s['finetuned']:.1%} (n = {s['n']})."
        for s in scores
    ]
    lines += [f"Exported: {export['path']}" for export in results["merge"]["exports"]]
    return "\n".join([*lines, f"All in {total_s:.0f} s. Everything lies in {output}; start with summary.json."])


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(text.rstrip() + "\n\n")
    sys.stdout.flush()
