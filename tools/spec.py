"""What a tool is: a name, a description, models for what goes in and out, and a function. Knows no MCP."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, get_args

from pydantic import Field

from ..core.runs.mode import Mode
from ..core.runs.record import Progress, RunError, RunState
from ..core.runs.watch import OnProgress
from ..core.schema import Model
from ..core.settings import Settings

ResultT = TypeVar("ResultT")
ModeName = Literal["prepare", "train", "evaluate", "merge", "openai"]
ToolName = Literal[ModeName, "runs"]
MODE_NAMES: tuple[ModeName, ...] = get_args(ModeName)
"""Each is also the name of the module whose TOOL it is."""


class NextStep(Model):
    """A call that a good colleague would make next."""

    tool: ToolName
    arguments: dict[str, Any]
    """Arguments that can be passed as they are; what only the user can choose stands in <angle brackets>."""
    why: str


class Reply(Model, Generic[ResultT]):
    """The answer of every tool."""

    run_id: str | None
    """Its name for `runs`."""

    mode: str
    """The tool that the run is of."""

    status: RunState
    """queued and running: ask `runs` to wait."""

    progress: Progress | None = None
    """Null once ended."""

    result: ResultT | None = None
    """Null until it succeeded."""

    error: RunError | None = None
    """Null unless it failed."""

    report_markdown: str = ""
    """Shortened to about 6,000 characters."""

    report_path: str | None = None
    """The whole report; an HTML page lies beside it."""

    run_dir: str | None = None
    """Request, status, metrics, log and result."""

    next_steps: tuple[NextStep, ...] = Field(default=(), max_length=3)
    """Calls worth making next."""


@dataclass(frozen=True)
class Caller:
    """What a tool may know about the call: the server's settings, and how to tell progress."""

    settings: Settings
    given: dict[str, Any]
    """The arguments as the caller sent them."""
    on_progress: OnProgress | None = None


@dataclass(frozen=True)
class Hints:
    """How a tool behaves towards the world, as MCP's annotations say it."""

    read_only: bool
    destructive: bool
    idempotent: bool
    open_world: bool


NextSteps = Callable[[Any, Any], tuple[NextStep, ...]]
"""From the resolved request and the result to the calls worth making next."""


def _no_next_steps(request: Any, result: Any) -> tuple[NextStep, ...]:
    return ()


@dataclass(frozen=True)
class Tool:
    """One tool."""

    name: ToolName
    title: str
    description: str
    input: type[Model]
    output: type[Reply[Any]]
    hints: Hints
    call: Callable[[Any, Caller], Awaitable[Reply[Any]]]
    mode: Mode | None = None
    """What its runs do; None for the tool over all runs."""
    next_steps: NextSteps = _no_next_steps
