"""The whole way on your own data, as an MCP client in 60 lines.

    .venv/bin/python examples/finetune.py my-data.jsonl my-output

Starts the server over stdio, as an assistant's host would, and calls its tools one after the other. What an assistant
adds is judgement: it reads the checks after each step. This script only stops when one fails.
"""

import sys
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters

MODEL = "smollm2-135m-instruct"  # built in; put a folder or a hub id here


async def main(data: Path, output: Path) -> None:
    """Prepare, train, evaluate and merge."""
    roots = ["--root", str(data.parent), "--root", str(output.parent)]
    server = StdioServerParameters(
        command=sys.executable, args=["-P", "-m", "faion_finetuner.server.command", "serve", *roots]
    )
    async with Client(server) as client:
        prepared, tuned = output / "data", output / "model"
        adapter = str(tuned / "adapter")
        await finish(client, "prepare", data_path=str(data), model_name=MODEL, output_dir=str(prepared))
        await finish(client, "train", data_path=str(prepared), model_name=MODEL, output_dir=str(tuned))
        result = await finish(
            client,
            "evaluate",
            model_name=MODEL,
            finetuned_path=adapter,
            data_path=str(prepared / "valid.jsonl"),
            output_dir=str(output / "evaluation"),
        )
        sys.stdout.write(f"\nVerdict: {result['verdict']}\n")
        await finish(
            client, "merge", model_name=MODEL, adapter_path=adapter, output_dir=str(output / "export"), gguf=["q8_0"]
        )


async def finish(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool, wait until its run has ended, print its report, and return its result."""
    reply = await call(client, tool, arguments)
    while reply["status"] in ("queued", "running"):
        reply = await call(client, "runs", {"action": "wait", "run_id": reply["run_id"]})
    if reply["status"] != "succeeded":
        raise SystemExit(f"{tool}: {reply['error']['problem']}\nNext: {reply['error']['next_step']}")
    sys.stdout.write(reply["report_markdown"] + "\n")
    return reply["result"]


async def call(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """One tool call; an error ends the script with the server's own words."""
    answer = await client.call_tool(tool, arguments)
    if answer.is_error or answer.structured_content is None:
        raise SystemExit("\n".join(getattr(block, "text", "") for block in answer.content))
    return answer.structured_content


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
