"""What a mode is: a request, a result, and the addresses of the code that gets from one to the other.

A mode's heavy code is named by "module:function" strings, so that the server can know every mode
without importing torch; only the worker resolves them.
"""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..schema import Model
from ..settings import Settings
from .request import RunRequest

RequestT = TypeVar("RequestT", bound=RunRequest)
ResultT = TypeVar("ResultT", bound=Model)


@dataclass(frozen=True)
class Mode(Generic[RequestT, ResultT]):
    """One thing a run can do."""

    name: str
    """The tool's name, e.g. "prepare"."""

    address: str
    """Where the worker finds this object: "faion_finetuner.core.prepare.mode:MODE"."""

    request: type[RequestT]
    result: type[ResultT]

    resolve: Callable[[RequestT, Settings], RequestT]
    """Check the request without heavy imports and make its paths absolute. Raises FinetunerError."""

    inputs: Callable[[RequestT], tuple[Path, ...]]
    """Files and folders whose content decides the result; a changed one makes another run."""

    outputs: Callable[[RequestT], tuple[str, ...]]
    """Names in output_dir that a run of this request makes; it is refused when one is there already."""

    run: str
    """Address of `run(request, run: ActiveRun) -> result`."""

    report: str
    """Address of `report(result) -> Report`."""

    uses_accelerator: Callable[[RequestT], bool]
    """Whether a run of this request computes here; such runs wait for each other."""

    environment: Callable[[RequestT], tuple[str, ...]] = lambda _: ()
    """Names of further environment variables that a request's worker may see, such as that of a key."""

    circumstances: Callable[[RequestT], tuple[str, ...]] = lambda _: ()
    """What beside request and inputs decides the result, such as the address of a service; another makes another run.
    """

    judge: str | None = None
    """Address of `judge(folder, verdicts, votes_path, settings) -> Page | None`, where finished runs can be judged."""

    compare: str | None = None
    """Address of `compare_runs(folders) -> Versus`, where the items of several finished runs can be compared."""


def loaded_mode(address: str) -> Mode[Any, Any] | None:
    """The mode at "module:name" if this program has loaded it; imports nothing, so any text may be asked for."""
    module, _, name = address.partition(":")
    mode = getattr(sys.modules.get(module), name, None)
    return mode if isinstance(mode, Mode) else None


def load(address: str) -> Any:
    """The object at "module:name"."""
    module, _, name = address.partition(":")
    return getattr(importlib.import_module(module), name)
