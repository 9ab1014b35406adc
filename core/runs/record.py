"""The files of a run folder, as models."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from .. import files
from ..errors import RunNotFoundError
from ..schema import Model

RunState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ENDED: frozenset[RunState] = frozenset(("succeeded", "failed", "cancelled"))


def now() -> datetime:
    """This moment, in UTC, to the second's fraction."""
    return datetime.now(UTC)


class Progress(Model):
    """How far a run is."""

    done: float = Field(ge=0)
    """Units finished."""

    total: float | None = None
    """Units in all; null while unknown."""

    unit: str
    """What is counted, e.g. "rows" or "steps"."""

    message: str = ""
    """What is being done."""

    eta_s: float | None = None
    """Estimated seconds to the end; null while unknown."""


class RunError(Model):
    """Why a run failed."""

    code: str
    """Short name of the kind of error."""

    problem: str
    """What is wrong, and where."""

    next_step: str
    """What to do about it."""


class RunRecord(Model):
    """run.json: what was asked and in which surroundings. Written once, before the worker starts."""

    run_id: str
    mode: str
    address: str
    """Where the worker finds the mode."""
    request_key: str
    """Equal for equal resolved requests over unchanged inputs."""
    request: dict[str, Any]
    """The arguments as they were given."""
    resolved: dict[str, Any]
    """The whole request with defaults filled in and paths absolute."""
    output_dir: Path
    slot: str | None
    """Name of the queue that the run waits in; null when it need not wait."""
    environment: tuple[str, ...]
    """Names of environment variables that the worker may see beyond the usual ones."""
    created_at: datetime
    packages: dict[str, str]
    """Versions of the packages that decide results."""
    host: dict[str, str]


class RunStatus(Model):
    """status.json: where the run stands. Written by the launcher once and by the worker from then on."""

    status: RunState
    attempt: int = Field(default=1, ge=1)
    """1 for the first start, one more for every resume."""
    progress: Progress | None = None
    error: RunError | None = None
    headline: str = ""
    """The result in one line, once there is one."""
    pid: int | None = None
    process_started_at: float | None = None
    """Start time of the worker process, see process.json; with pid it names one process for good."""
    launched_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None


class RunFolder(Model):
    """The paths of one run folder."""

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def record_path(self) -> Path:
        return self.path / "run.json"

    @property
    def status_path(self) -> Path:
        return self.path / "status.json"

    @property
    def process_path(self) -> Path:
        return self.path / "process.json"

    @property
    def cancel_path(self) -> Path:
        return self.path / "cancel.json"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def log_path(self) -> Path:
        return self.path / "log.txt"

    @property
    def result_path(self) -> Path:
        return self.path / "result.json"

    @property
    def report_path(self) -> Path:
        return self.path / "report.md"

    @property
    def plot_path(self) -> Path:
        return self.path / "plot.png"

    def record(self) -> RunRecord:
        """What was asked.

        Raises:
            RunNotFoundError: The folder holds no readable run.
        """
        try:
            return RunRecord.model_validate_json(self.record_path.read_bytes())
        except (OSError, ValueError) as error:
            raise RunNotFoundError(
                f"'{self.record_path}' cannot be read: it is damaged, or of another version of this program.",
                "What the run made lies in its output folder; make its call again with another output_dir.",
            ) from error

    def status(self) -> RunStatus:
        """Where the run stands, as its files say; `watch.observe` also looks at the process.

        Where the launcher was cut off between the files, or the disk was full, it still waits to be started.
        """
        try:
            return RunStatus.model_validate_json(self.status_path.read_bytes())
        except (OSError, ValueError):
            return RunStatus(status="queued", launched_at=self.record().created_at)

    def write_status(self, status: RunStatus) -> None:
        files.write_model(self.status_path, status)

    def log_tail(self, lines: int) -> list[str]:
        """The last lines of log.txt, oldest first; empty when there is no log yet."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(0, 2)
                log.seek(max(0, log.tell() - 400 * lines - 4096))
                text = log.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return []
        # progress bars rewrite their line with \r: only what stood last on the line is a line
        whole = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").rstrip("\r\n").split("\n")]
        return whole[-lines:] if lines else []
