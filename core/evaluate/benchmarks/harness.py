"""Benchmarks through lm-eval, on models that are already loaded; everything but the models' work is done once."""

import contextlib
import logging
import os
import random
import shutil
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from jinja2 import TemplateError

from ... import extras, files, untrusted
from ...checks import Check
from ...errors import DataError, InputError
from . import flips, ready_tasks, scores, setup
from .ready_tasks import Data
from .scores import BenchmarkScore

log = logging.getLogger(__name__)

FILES = "the benchmark's published files, or lm-eval task files (YAML) whose data_files lie on this machine"
HUB = "or run once with access to the hub so that its cache holds the data."


@dataclass(frozen=True)
class Asking:
    """Which benchmarks, and how they are asked."""

    names: tuple[str, ...]
    folder: Path | None = None
    """Task files and published data."""
    limit: int | None = None
    num_fewshot: int | None = None
    """Examples in each prompt; None: as many as the task says."""
    chat_template: bool = False


class Benchmarks:
    """A choice of lm-eval tasks whose files and data were found.

    Attributes:
        names: What is scored: tasks and groups.
    """

    def __init__(self, asking: Asking, tokenizer: Any, scratch: Path) -> None:
        """Find the tasks and load their data.

        Args:
            asking: What was asked for.
            tokenizer: That of transformers, the same for every model measured.
            scratch: A folder for the task files that are made, their data, and the answers of `measure`.

        Raises:
            InputError: A task does not exist, its data is of no known shape, or there is no chat template to apply.
            DataError: A task's data cannot be had here.
        """
        tasks = extras.require("lm_eval.tasks", "Benchmarks")
        if asking.chat_template and tokenizer.chat_template is None:
            raise InputError("chat_template: the model has no chat template.", "Leave chat_template out.")
        _sandbox_templates()
        self.asking, self.scratch, self._tokenizer = asking, scratch, tokenizer
        self._folder = asking.folder or Path.cwd()
        scratch.mkdir(parents=True, exist_ok=True)
        self._cache = scratch / ".cache"
        weakref.finalize(self, shutil.rmtree, self._cache, ignore_errors=True)
        self._data, local, manager = self._manager(tasks.TaskManager)
        _refuse_unknown(asking.names, manager.all_tasks)
        with self._inside(), self._told_of_data(local):
            self._loaded: Any = manager.load(list(asking.names))
        self.names = tuple(one for name in asking.names for one in _scored(name, manager, self._loaded["groups"]))
        for task in self._loaded["tasks"].values():
            _settle_examples(task, asking.num_fewshot)
            _build_once(task)
        self._encoded: dict[Any, Any] = {}

    def _manager(self, make: Any) -> tuple[dict[str, Data], set[str], Any]:
        """What was made of published data, the tasks that lie in the folder, and lm-eval's view of all tasks.

        That of the local ones alone where they suffice, since reading all that lm-eval brings takes seconds.
        """
        folder, names = self.asking.folder, set(self.asking.names)
        if folder is None:
            return {}, set(), make()
        own = make(include_path=str(folder), include_defaults=False) if any(folder.rglob("*.yaml")) else None
        missing = [name for name in self.asking.names if own is None or name not in own.all_tasks]
        made = ready_tasks.make(missing, folder, self.scratch, self._cache) if missing else {}
        places = [str(self.scratch), *([str(folder)] if own else [])]
        local = make(include_path=places, include_defaults=False)
        found = set(local.all_tasks)
        return made, found, local if names <= found else make(include_path=places)

    def _told_of_data(self, local: set[str]) -> AbstractContextManager[None]:
        """Blame what is not in the folder for data that cannot be had; each of the tasks where all are."""
        names = [name for name in self.asking.names if name not in local] or self.asking.names
        folder = self.asking.folder
        where = f"Put into benchmarks_dir '{folder}'" if folder else "Give benchmarks_dir, a folder with"
        return _told(f"data of {', '.join(names)} cannot be loaded", f"{where} {FILES}; {HUB}")

    def measure(
        self, model: Any, side: str, on_batch: Callable[[int], None] = lambda _: None
    ) -> tuple[BenchmarkScore, ...]:
        """The scores of one model; every answer is logged in `samples-<side>.jsonl`.

        lm-eval's own cache of answers stays off: it is not keyed by model and would give both the same scores.

        Args:
            model: A causal language model in evaluation mode.
            side: Which model it is, for the file of answers.
            on_batch: Called after each batch with its number of requests; may raise to stop.

        Raises:
            DataError: A task fails.
        """
        import numpy
        import torch
        from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED
        from lm_eval.evaluator import evaluate

        from ...models.lean_lora import lean_lora
        from ...models.packed import packed
        from .lean_model import LeanModel

        random.seed(DEFAULT_RANDOM_SEED)  # lm-eval's own entry point does that
        numpy.random.seed(DEFAULT_OTHER_SEED)
        torch.manual_seed(DEFAULT_OTHER_SEED)
        told = _told("fails", "Mend its task file: see the log for the traceback.")
        with self._inside(), packed(model), lean_lora(model), told:
            found: Any = evaluate(
                lm=LeanModel(model, self._tokenizer, self._encoded, on_batch),
                task_dict=self._loaded,
                limit=self.asking.limit,
                bootstrap_iters=0,  # the uncertainty that counts here is that of the paired difference
                apply_chat_template=self.asking.chat_template,
                fewshot_as_multiturn=True,
            )
        assert found is not None  # None only on further ranks of a distributed run
        self._log(found["samples"], side)
        return scores.read(self.names, found)

    def checks(self) -> tuple[Check, ...]:
        """How each benchmark is asked, defaults included."""
        tasks, groups = self._loaded["tasks"], self._loaded["groups"]
        template = self.asking.chat_template if self._tokenizer.chat_template else None
        return tuple(
            setup.check(
                name,
                [(task, self._data.get(task.task_name)) for task in _members(name, tasks, groups)],
                self.asking.limit,
                template,
            )
            for name in self.names
        )

    def compare_answers(self) -> Check:
        """What changed between both models' logged answers; both must have been measured."""
        return flips.write(self.scratch)

    def _log(self, samples: dict[str, list[dict[str, Any]]], side: str) -> None:
        with files.atomic_writer(flips.samples_path(self.scratch, side)) as file:
            for task, rows in samples.items():
                for row in rows:
                    file.write(orjson.dumps({"task": task, **row}, default=str, option=orjson.OPT_SERIALIZE_NUMPY))
                    file.write(b"\n")

    @contextlib.contextmanager
    def _inside(self) -> Iterator[None]:
        """Relative data_files count from the task folder, and what lm-eval prints goes to the log, never to stdout."""
        with contextlib.chdir(self._folder), contextlib.redirect_stdout(sys.stderr):
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
            yield


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


def _scored(name: str, manager: Any, groups: dict[str, Any]) -> list[str]:
    """What lm-eval gives scores for: the tasks behind a tag, the parts of a group that has no score of its own."""
    if name in manager.all_tags:
        return sorted(manager.task_index[name].tags)
    if name in groups and not groups[name].has_aggregation:
        return [one for part in groups[name].child_names for one in _scored(part, manager, groups)]
    return [name]


def _members(name: str, tasks: dict[str, Any], groups: dict[str, Any]) -> list[Any]:
    return groups[name].get_all_tasks() if name in groups else [tasks[name]]


def _settle_examples(task: Any, wanted: int | None) -> None:
    """lm-eval's rule: what was asked for, else the task's own number, else none; a task's own 0 stands."""
    from lm_eval.defaults import DEFAULT_OTHER_SEED

    own = task.get_config("num_fewshot")
    task.set_config(key="num_fewshot", value=own or 0 if wanted is None or own == 0 else wanted)
    task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)


def _build_once(task: Any) -> None:
    """Let the second model be asked with the prompts that were built for the first."""
    build, built = task.build_all_requests, False

    def once(**arguments: Any) -> None:
        nonlocal built
        if not built:
            build(**arguments)
            built = True
        for instance in task.instances:
            instance.resps, instance.filtered_resps = [], {}

    task.build_all_requests = once


@contextlib.contextmanager
def _told(problem: str, next_step: str) -> Iterator[None]:
    """Turn what lm-eval, datasets, the hub client and Jinja raise into an error with a next step."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AssertionError, TemplateError) as error:
        log.exception("lm-eval")
        reason = untrusted.quote(str(error), 200)
        raise DataError(f"The benchmark {problem}: {type(error).__name__}: {reason}.", next_step) from error


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
