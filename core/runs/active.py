"""A run as its mode sees it from inside the worker."""

import json
import math
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from ..errors import Cancelled
from .record import Progress, RunFolder, now

STOP_HEARD_WITHIN_S = 0.2
PROGRESS_EVERY_S = 0.5  # often enough to watch, seldom enough that the disk does not notice


class ActiveRun:
    """What a mode may do with its run: report progress and metrics, and learn that it should stop.

    Attributes:
        folder: The run folder.
        output_dir: Where the results go. In a dry run nothing may be written there.
        resume: True when an earlier attempt of this run was cut off and this one should go on from what it left.
    """

    def __init__(self, folder: RunFolder, output_dir: Path, resume: bool = False) -> None:
        self.folder = folder
        self.output_dir = output_dir
        self.resume = resume
        self._stop = threading.Event()
        self._began = time.monotonic()
        self._written = -math.inf
        self._stage = ""

    def progress(self, done: float, total: float | None, unit: str, message: str = "") -> None:
        """Tell how far the work is; cheap enough to call for every row. Without a message, the stage's name stays."""
        moment = time.monotonic()
        if moment - self._written < PROGRESS_EVERY_S:
            return
        self._written = moment
        eta_s = (moment - self._began) / done * (total - done) if total and done else None
        progress = Progress(
            done=done, total=total, unit=unit, message=message or self._stage, eta_s=eta_s and round(eta_s, 1)
        )
        self.folder.write_status(self.folder.status().model_copy(update={"progress": progress}))

    def stage(self, message: str) -> None:
        """Name what begins now; the clock behind `eta_s` starts anew."""
        self._began, self._written, self._stage = time.monotonic(), -math.inf, message
        self.progress(0, None, "", message)
        self._written = -math.inf

    def metric(self, values: Mapping[str, float | int | str | None]) -> None:
        """Append one line to metrics.jsonl; a number that is not finite is written as a string, since JSON has none."""
        line = {"time": now().isoformat(timespec="milliseconds")} | {
            key: _json_number(value) for key, value in values.items()
        }
        with self.folder.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")

    @property
    def stop_requested(self) -> bool:
        """Whether the run was asked to end; a mode looks at it between units of work."""
        return self._stop.is_set()

    def request_stop(self) -> None:
        """Ask the mode to end at the next safe point."""
        self._stop.set()

    def sleep(self, seconds: float) -> None:
        """Wait, but not through a request to stop."""
        end = time.monotonic() + seconds
        while not self.stop_requested and (left := end - time.monotonic()) > 0:
            time.sleep(min(STOP_HEARD_WITHIN_S, left))

    def raise_if_stopped(self) -> None:
        """End here when the run was asked to stop.

        Raises:
            Cancelled: It was.
        """
        if self.stop_requested:
            raise Cancelled(
                "The run was stopped on request.", "Continue it with `runs` and action resume, or start a new one."
            )


def _json_number(value: float | int | str | None) -> float | int | str | None:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
