"""From the request to the plan: everything opened that the preparation needs."""

from pathlib import Path

from ..errors import DataError
from ..examples.prompt_template import PromptTemplate
from ..personal.names import installed_model
from ..runs.active import ActiveRun
from ..settings import Settings
from . import sources
from .benchmarks import Benchmarks
from .given import splits_of
from .hub import BENCHMARKS, SCHEME, is_hub_entry
from .plan import Plan
from .read import look
from .request import PrepareRequest, entries_of
from .restore import restored
from .tokens import TokenCounter


def open_plan(request: PrepareRequest, settings: Settings, run: ActiveRun) -> Plan:
    """Look at the files, load the tokenizer, read the benchmarks.

    Raises:
        DataError: A file is damaged, or no data.
        ModelError: The model's tokenizer cannot be had.
    """
    entries = entries_of(request)
    local = sources.expand(entries, settings, leave_out=request.output_dir)
    paths = (*local, *sources.fetched(entries))
    template = PromptTemplate(request.prompt_template) if request.prompt_template else None
    names = _named(request) | (template.fields if template else frozenset())
    files = tuple(look(path, names) for path in paths)
    if request.model_name:
        run.stage(f"loading the tokenizer of {request.model_name}")
    rules, rows = restored(request.restore)
    return Plan(
        request=request,
        files=files,
        left_out=sources.left_out(entries, local, request.output_dir),
        tokens=TokenCounter.for_model(request.model_name, settings),
        benchmarks=_benchmarks(request.benchmarks, run),
        given=tuple(splits_of([file.path for file in files])),
        finds_names=request.pii != "off" and installed_model() is not None,
        prompt_template=template,
        restored_rules=rules,
        restored_rows=rows,
    )


def _named(request: PrepareRequest) -> frozenset[str]:
    """The fields that the request names, so that a header with them is known for one."""
    columns = request.columns or {}
    return frozenset(name for name in (*columns, *columns.values(), request.stratify_by, request.group_by) if name)


def _benchmarks(names: tuple[str, ...], run: ActiveRun) -> Benchmarks:
    """The benchmarks that can be had: from files, or from the hub by name; for the others the reason is kept."""
    files: list[Path] = []
    missing: dict[str, str] = {}
    for name in names:
        known = BENCHMARKS.get(name.lower())
        if Path(name).is_file():
            files.append(Path(name))
        elif known is None and not is_hub_entry(name):
            missing[name] = f"neither a file nor one of {', '.join(BENCHMARKS)}"
        else:
            run.stage(f"fetching the benchmark {name}")
            try:
                files += sources.fetched([f"{SCHEME}{known}" if known else name])
            except DataError as error:
                missing[name] = error.problem
    return Benchmarks.read(files, missing)
