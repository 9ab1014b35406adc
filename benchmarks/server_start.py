"""Server start to answered tools/list, against a bare one-tool MCPServer in the same run; and the tokens of tools/list.

    .venv/bin/python benchmarks/server_start.py --rounds 15

Both are started over stdio in turn, so that noise hits both alike; the ratio of the medians is what counts.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BARE = """
from mcp.server import MCPServer
server = MCPServer("bare")
@server.tool()
def add(a: int, b: int) -> int:
    "Add two numbers."
    return a + b
server.run()
"""
OURS = [sys.executable, "-P", "-m", "faion_finetuner.server.command", "serve"]
VERSION = "2025-11-25"
REQUESTS: tuple[dict[str, Any], ...] = (
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "bench", "version": "0"}},
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
)


def time_to_tools(command: list[str], cwd: Path) -> tuple[float, dict[str, Any]]:
    """Seconds from the start of the process to the answer of tools/list, and that answer."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=cwd, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        for request in REQUESTS:
            server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        for line in server.stdout:
            answer = json.loads(line)
            if answer.get("id") == 2:
                seconds = time.perf_counter() - began
                server.stdin.close()
                return seconds, answer["result"]
    raise RuntimeError("The server ended without an answer.")


def count_tokens(text: str) -> tuple[int, str]:
    """Tokens of a text with the built-in model's tokenizer, and how they were counted."""
    from faion_finetuner.core.examples.chat import ChatTokenizer
    from faion_finetuner.core.models.source import local_path, resolve_model
    from faion_finetuner.core.settings import Settings

    settings = Settings.from_environment()
    name = "smollm2-135m-instruct"
    return ChatTokenizer.load(local_path(resolve_model(name, settings), settings)).count(text), f"tokenizer of {name}"


def main() -> None:
    """Print the comparison as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    tools: dict[str, Any] = {}
    bare, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "bare.py"
        script.write_text(BARE, encoding="utf-8")
        for _ in range(rounds + 1):  # the first round fills the file cache and is not counted
            bare.append(time_to_tools([sys.executable, str(script)], Path(folder))[0])
            seconds, tools = time_to_tools(OURS, Path(folder))
            ours.append(seconds)
    ratio = statistics.median(ours[1:]) / statistics.median(bare[1:])
    lines = [
        f"| bare MCPServer | {statistics.median(bare[1:]):.3f} s | 1.00 |",
        f"| faion-finetuner | {statistics.median(ours[1:]):.3f} s | {ratio:.2f} |",
    ]
    sys.stdout.write("\n".join(["| start to tools/list | median | ratio |", "|---|---|---|", *lines, ""]) + "\n")
    rows = [(tool["name"], count_tokens(json.dumps(tool))) for tool in tools["tools"]]
    for name, (tokens, _) in rows:
        sys.stdout.write(f"| {name} | {tokens} tokens |\n")
    total, how = count_tokens(json.dumps(tools["tools"]))
    sys.stdout.write(f"| all | {total} tokens ({how}) |\n")


if __name__ == "__main__":
    main()
