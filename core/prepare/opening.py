"""From the request to the plan: everything opened that the preparation needs."""

import difflib
import re
from pathlib import Path

from ..errors import InputError
from ..examples.prompt_template import PromptTemplate
from ..runs.active import ActiveRun
from ..settings import Settings
from ..untrusted import quote
from . import sources
from .benchmarks import Benchmarks
from .given import splits_of
from .plan import ALL_RULES, Plan
from .read import look
from .request import PrepareRequest, entries_of
from .tokens import TokenCounter

ROW_ID = re.compile(r"\d+-[0-9a-f]{16}")


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
        prompt_template=PromptTemplate(request.prompt_template) if request.prompt_template else None,
        restored_rules=rules,
        restored_rows=rows,
    )


def restored(entries: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """`restore` as the rules and the row_ids in it.

    Raises:
        InputError: An entry is neither.
    """
    rows = frozenset(entry for entry in entries if ROW_ID.fullmatch(entry))
    rules = frozenset(entries) - rows
    if unknown := sorted(rules - ALL_RULES):
        near = difflib.get_close_matches(unknown[0], ALL_RULES, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise InputError(
            f"restore: {quote(unknown[0], 80)} is neither a rule that can be restored nor a row_id.",
            f"{hint}Take both from ledger.jsonl; the rules are {', '.join(sorted(ALL_RULES))}.",
        )
    return rules, rows
