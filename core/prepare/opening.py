"""From the request to the plan: everything opened that the preparation needs."""

from pathlib import Path

from ..examples.prompt_template import PromptTemplate
from ..runs.active import ActiveRun
from ..settings import Settings
from . import sources
from .benchmarks import Benchmarks
from .given import splits_of
from .personal_names import installed_model
from .plan import Plan
from .read import look
from .request import PrepareRequest, entries_of
from .restore import restored
from .tokens import TokenCounter


def open_plan(request: PrepareRequest, settings: Settings, run: ActiveRun) -> Plan:
    """Look at the files, load the tokenizer, read the benchmarks.

    Raises:
        DataError: A file is empty, damaged, or no data.
        ModelError: The model's tokenizer cannot be had.
    """
    paths = sources.expand(entries_of(request), settings, leave_out=request.output_dir)
    files = tuple(look(path) for path in paths)
    if request.model_name:
        run.stage(f"loading the tokenizer of {request.model_name}")
    present = [Path(name) for name in request.benchmarks if Path(name).is_file()]
    missing = {name: "no such local file" for name in request.benchmarks if not Path(name).is_file()}
    rules, rows = restored(request.restore)
    return Plan(
        request=request,
        files=files,
        tokens=TokenCounter.for_model(request.model_name, settings),
        benchmarks=Benchmarks.read(present, missing),
        given=tuple(splits_of([file.path for file in files])),
        finds_names=request.pii != "off" and installed_model() is not None,
        prompt_template=PromptTemplate(request.prompt_template) if request.prompt_template else None,
        restored_rules=rules,
        restored_rows=rows,
    )
