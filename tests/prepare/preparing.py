"""Running a preparation in this process, and looking at what it left."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faion_finetuner.core.checks import Check
from faion_finetuner.core.prepare.mode import MODE
from faion_finetuner.core.prepare.pipeline import run
from faion_finetuner.core.prepare.report import report
from faion_finetuner.core.prepare.result import Balance, PrepareResult, Truncation
from faion_finetuner.core.runs.active import ActiveRun
from faion_finetuner.core.runs.record import RunFolder, RunStatus, now
from faion_finetuner.core.settings import Settings


@dataclass(frozen=True)
class Outcome:
    """A finished preparation."""

    result: PrepareResult
    folder: Path

    @property
    def train(self) -> list[dict[str, Any]]:
        return read_lines(self.folder / "train.jsonl")

    @property
    def valid(self) -> list[dict[str, Any]]:
        return read_lines(self.folder / "valid.jsonl")

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.train + (self.valid if (self.folder / "valid.jsonl").exists() else [])

    @property
    def ledger(self) -> list[dict[str, Any]]:
        return read_lines(self.folder / "ledger.jsonl")

    @property
    def report(self) -> str:
        return report(self.result).markdown

    @property
    def balance(self) -> Balance:
        assert self.result.balance is not None
        return self.result.balance

    @property
    def truncation(self) -> Truncation:
        assert self.result.truncation is not None
        return self.result.truncation

    def check(self, name: str) -> Check:
        return next(check for check in self.result.checks if check.name == name)


def prepare(settings: Settings, data_path: Any, **arguments: Any) -> Outcome:
    """Prepare `data_path` into `out` below the root; asserts that the rows add up."""
    output_dir = arguments.pop("output_dir", "out")
    request = MODE.resolve(MODE.request(data_path=data_path, output_dir=output_dir, **arguments), settings)
    folder = RunFolder(path=request.output_dir / ".run" / "prepare-test")
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write_status(RunStatus(status="running", launched_at=now()))
    result = run(request, ActiveRun(folder, request.output_dir))
    assert result.source.rows_read == result.unique_examples + sum(result.dropped_by_reason.values())
    assert not (folder.path / "work").exists()
    return Outcome(result, request.output_dir)


def write(settings: Settings, name: str, content: str | bytes) -> str:
    """A file below the root; gives back its name for data_path."""
    path = settings.roots[0] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return name


def write_rows(settings: Settings, name: str, rows: list[dict[str, Any]]) -> str:
    """JSON Lines below the root."""
    return write(settings, name, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def pair(question: str, answer: str, **fields: Any) -> dict[str, Any]:
    """A question/answer record."""
    return {"question": question, "answer": answer, **fields}


def pairs(count: int) -> list[dict[str, Any]]:
    """Records that differ from each other in every word but one."""
    return [pair(f"What{i} is{i} thing{i} number{i}?", f"It{i} is{i}x the{i} answer{i}") for i in range(count)]


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def said(row: dict[str, Any]) -> list[str]:
    """The contents of an OpenAI record's messages."""
    return [message["content"] for message in row["messages"]]
