"""Models that run on this machine, as contestants: likelihoods, answers, probes and benchmarks."""

from typing import Any

from ...models.load import load_tokenizer
from ...models.machine import look
from ...runs.active import ActiveRun
from ...settings import Settings
from .. import plan
from ..benchmarks.harness import Asking, Benchmarks
from ..contestants import LoadedModel, Side, visit
from ..measured import Measured, measured
from ..request import EvaluateRequest, is_gguf
from ..result import Plan, Spent
from .gguf import GgufContestant
from .subject import read_local


class LocalContest:
    """Base and fine-tuned model, and what they are measured on.

    Attributes:
        subject: The rows.
        checks: What is to be said of the models before they are measured.
        spent: None: nobody asks money for them.
    """

    spent: Spent | None = None

    def __init__(self, request: EvaluateRequest, run: ActiveRun) -> None:
        self._request, self._run = request, run
        self._settings = Settings.from_environment()
        self._local = read_local(request, self._settings)
        self._benchmarks = self._found_benchmarks()
        self._gguf = self._found_gguf()
        asked = self._benchmarks.checks() if self._benchmarks else ()
        told = self._gguf.checks if self._gguf else ()
        self.subject, self.checks = self._local.subject, (*self._local.checks, *told, *asked)

    def _found_gguf(self) -> GgufContestant | None:
        path = self._request.finetuned_path
        if path is None or not is_gguf(path):
            return None
        self._run.stage(f"reading {path.name}")
        return GgufContestant(path, self._local, self._run)

    def _found_benchmarks(self) -> Benchmarks | None:
        request = self._request
        if not request.benchmarks:
            return None
        self._run.stage("finding the benchmarks")
        asking = Asking(
            request.benchmarks, request.benchmarks_dir, request.limit, request.num_fewshot, request.chat_template
        )
        return Benchmarks(asking, self._tokenizer(), self._run.folder.path / "benchmarks")

    def _tokenizer(self) -> Any:
        """As lm-eval wants it; the fine-tuned one's where it alone has a chat template, as for all other prompts."""
        base, tuned = load_tokenizer(self._local.base_path), self._request.finetuned_path
        if base.chat_template is None and tuned is not None and not self._local.tokenizer.template_is_default:
            return load_tokenizer(tuned)
        return base

    def plan(self) -> Plan:
        """What measuring would take."""
        return plan.expect(self._local, self._request, look(), self._benchmarks)

    def measure(self) -> dict[Side, Measured]:
        """Let both models do everything."""
        self._run.stage("loading the model")
        sides: dict[Side, Measured] = {}

        def one(side: Side, model: Any) -> None:
            contestant = LoadedModel(model, self._local.tokenizer)
            sides[side] = measured(side, contestant, self._local, self._benchmarks, self._run)

        visit(self._local.base_path, None if self._gguf else self._request.finetuned_path, self._settings, one)
        if self._gguf:
            sides["finetuned"] = measured("finetuned", self._gguf, self._local, None, self._run)
        if self._benchmarks is not None and len(sides) > 1:
            self.checks += (self._benchmarks.compare_answers(),)
        return sides
