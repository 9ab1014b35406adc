"""Benchmarks through lm-eval, on a model that is already loaded; items are kept so that two models can be paired."""

import contextlib
import logging
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from pydantic import Field

from .. import extras, untrusted
from ..errors import DataError, InputError
from ..schema import Model

log = logging.getLogger(__name__)

BATCH_SIZE = 16
OFFLINE = (
    "Give benchmarks_dir: a folder with lm-eval task files (YAML) whose data_files lie on this machine, "
    "or run once with access to the hub so that its cache holds the data."
)


class BenchmarkScore(Model):
    """One metric of one benchmark for one model."""

    task: str
    metric: str
    value: float | None
    """As lm-eval reports it."""
    higher_is_better: bool
    items: dict[str, float] = Field(default_factory=dict)
    """Value by item, named by task, document and prompt; empty when the metric is no mean of its items."""
    n: int


class Benchmarks:
    """A choice of lm-eval tasks whose files and data were found."""

    def __init__(self, names: tuple[str, ...], tasks_dir: Path | None, limit: int | None) -> None:
        """Find the tasks and load their data.

        Raises:
            InputError: A task does not exist.
            DataError: A task's data cannot be had here.
        """
        tasks = extras.require("lm_eval.tasks", "Benchmarks")
        _sandbox_templates()
        self.names, self.limit = names, limit
        self.folder = tasks_dir or Path.cwd()
        self.manager: Any = _manager(tasks.TaskManager, names, tasks_dir)
        _refuse_unknown(names, self.manager.all_tasks)
        with _where_tasks_count_from(self.folder):
            _load(self.manager, names)

    def measure(self, model: Any, tokenizer: Any) -> tuple[BenchmarkScore, ...]:
        """The scores of one model.

        lm-eval's own cache of answers stays off: it is not keyed by model and would give both the same scores.
        """
        from lm_eval.evaluator import simple_evaluate
        from lm_eval.models import huggingface

        wrap: Any = huggingface.HFLM  # its decorators hide its parameters from type checkers
        with _where_tasks_count_from(self.folder), _told("fails", "Mend its task file: see the log for the traceback."):
            found: Any = simple_evaluate(
                model=wrap(pretrained=model, tokenizer=tokenizer, batch_size=BATCH_SIZE),
                tasks=list(self.names),
                task_manager=self.manager,
                limit=self.limit,
                bootstrap_iters=0,  # the uncertainty that counts here is that of the paired difference
                use_cache=None,
            )
        assert found is not None  # None only on further ranks of a distributed run
        return tuple(score for name in self.names for score in _scores(name, found))


def _manager(make: Any, names: tuple[str, ...], tasks_dir: Path | None) -> Any:
    """The local tasks alone where they suffice, since reading all that lm-eval brings takes seconds."""
    if tasks_dir is None:
        return make()
    local = make(include_path=str(tasks_dir), include_defaults=False)
    return local if set(names) <= set(local.all_tasks) else make(include_path=str(tasks_dir))


def _refuse_unknown(names: tuple[str, ...], known: list[str]) -> None:
    from difflib import get_close_matches

    unknown = [name for name in names if name not in known]
    if not unknown:
        return
    near = [match for name in unknown for match in get_close_matches(name, known, n=1)]
    raise InputError(
        f"There is no benchmark {', '.join(repr(name) for name in unknown)}, neither in lm-eval nor in benchmarks_dir.",
        f"Did you mean {', '.join(near)}?" if near else "Use the name behind `task:` in its YAML file.",
    )


def _load(manager: Any, names: tuple[str, ...]) -> None:
    for name in names:
        with _told(f"'{name}' cannot load its data", OFFLINE):
            manager.load([name])


@contextlib.contextmanager
def _told(problem: str, next_step: str) -> Iterator[None]:
    """Turn what lm-eval, datasets, the hub client and Jinja raise into an error with a next step."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, TemplateError) as error:
        log.exception("lm-eval")
        reason = untrusted.quote(str(error), 200)
        raise DataError(f"The benchmark {problem}: {type(error).__name__}: {reason}.", next_step) from error


@contextlib.contextmanager
def _where_tasks_count_from(folder: Path) -> Iterator[None]:
    """Relative data_files count from the task folder, and what lm-eval prints goes to the log, never to stdout."""
    with contextlib.chdir(folder), contextlib.redirect_stdout(sys.stderr):
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        yield


def _sandbox_templates() -> None:
    """Task files hold Jinja templates, which lm-eval renders with full access to Python; take that access away."""
    import lm_eval.utils
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if not isinstance(lm_eval.utils.env, ImmutableSandboxedEnvironment):
        free = lm_eval.utils.env
        lm_eval.utils.env = ImmutableSandboxedEnvironment(
            loader=free.loader, undefined=free.undefined, keep_trailing_newline=free.keep_trailing_newline
        )
        lm_eval.utils.env.filters.update(free.filters)


def _scores(name: str, found: dict[str, Any]) -> Iterator[BenchmarkScore]:
    results = found.get("groups", {}).get(name) or found["results"][name]
    members = _members(name, found)
    for key, value in results.items():
        metric, comma, applied_filter = key.partition(",")
        if not comma or metric.endswith("_stderr"):
            continue
        items = {
            f"{task}/{sample['doc_id']}/{sample['prompt_hash']}": sample[metric]
            for task in members
            for sample in found["samples"].get(task, ())
            if sample["filter"] == applied_filter and isinstance(sample.get(metric), int | float)
        }
        number = float(value) if isinstance(value, int | float) and math.isfinite(value) else None
        mean = sum(items.values()) / len(items) if items else math.nan
        yield BenchmarkScore(
            task=name,
            metric=metric if applied_filter == "none" else f"{metric} ({applied_filter})",
            value=number,
            higher_is_better=found["higher_is_better"].get(name, {}).get(metric) is not False,
            items=items if number is not None and math.isclose(mean, number, abs_tol=1e-9) else {},
            n=sum(found["n-samples"][task]["effective"] for task in members),
        )


def _members(name: str, found: dict[str, Any]) -> list[str]:
    """The tasks behind a name: itself, or those of the group, at any depth."""
    inner = found.get("group_subtasks", {}).get(name)
    return [task for part in inner for task in _members(part, found)] if inner else [name]
