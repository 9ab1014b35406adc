"""A bar on standard error that shows where a run stands."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..core.runs.record import RunStatus


class ProgressBar:
    """Shows where a run stands until it is left."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        self._task = self._bar.add_task("starting", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    async def show(self, status: RunStatus) -> None:
        """Show where the run stands."""
        if (progress := status.progress) is not None:
            text = progress.message or progress.unit
            self._bar.update(self._task, completed=progress.done, total=progress.total, description=text)
