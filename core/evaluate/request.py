"""What to evaluate, and the light checks of it."""

import os
from difflib import get_close_matches
from pathlib import Path

from pydantic import Field

from .. import paths
from ..errors import InputError, PathError
from ..models.hosted.environment import BASE_URL, CREDENTIALS, KEY, OFFLINE, base_url, shown
from ..models.source import HUB_TOKEN, TRUST_LINE, check_folder, hosted_id, hub_environment, resolve_model
from ..problems import Problems
from ..runs.request import RunRequest
from ..settings import Settings
from ..untrusted import quote
from . import scorers
from .benchmarks.table_files import SUFFIXES
from .hosted.request import resolve_models
from .result import Judge

ENDPOINT = (KEY, BASE_URL)
PAGE = "judge.html"  # for people who judge
TO_PREPARE = frozenset((".csv", ".tsv", ".parquet", ".arrow", ".xlsx", ".txt", ".md"))  # held-out rows that are no JSON
RESULTS = ("adapter", "model", "merged")  # what train and merge leave in their output_dir

METRICS = (
    "perplexity", "loss", "exact_match", "accuracy", "f1", "number_match", "json_valid", "json_fields", "token_f1",
    "bleu", "chrf", "rouge", "tool_calls",
)  # fmt: skip


class EvaluateRequest(RunRequest):
    """Measure a base model and its fine-tuned version on the same held-out rows."""

    model_name: str
    """Base: folder, hub id, built-in smollm2-135m-instruct, or a hosted openai:<id>."""

    finetuned_path: Path | None = None
    """Adapter, model folder, GGUF file, train's output_dir, or openai:<id>. Default: only the base."""

    data_path: Path
    """Held-out rows: a JSONL file, or prepare's output_dir (then its valid.jsonl)."""

    metrics: tuple[str, ...] | None = None
    """Of perplexity, loss, exact_match, accuracy, f1, number_match, json_valid, json_fields, token_f1, bleu, chrf,
    rouge, tool_calls, installed scorers. Default: by the data."""

    benchmarks: tuple[str, ...] = ()
    """lm-eval task names, e.g. mmlu, hellaswag; data from the hub or benchmarks_dir."""

    benchmarks_dir: Path | None = None
    """Folder of published benchmark files (JSONL, CSV, Parquet) or trusted lm-eval tasks (YAML)."""

    num_fewshot: int | None = Field(default=None, ge=0)
    """Examples in benchmark prompts. Default: the task's."""

    chat_template: bool = False
    """Apply it in benchmarks."""

    limit: int | None = Field(default=None, ge=1)
    """Most held-out rows, drawn by seed, and items per benchmark. Default: all."""

    samples: int = Field(default=5, ge=0, le=50)
    """Examples shown with both answers."""

    regression_margin: float = Field(default=0.1, ge=0, le=1)
    """How far a capability's right answers may fall before it warns."""

    judge: Judge = "none"
    """Blind judge of answers: assistant (you, through `runs`), human (HTML page) or endpoint."""

    judge_pairs: int = Field(default=20, ge=1, le=1000)
    """Rows to judge."""

    judge_model: str | None = None
    """The endpoint's, at OPENAI_BASE_URL."""


def resolve(request: EvaluateRequest, settings: Settings) -> EvaluateRequest:
    """The request with absolute paths.

    Raises:
        InputError: Something cannot be; all problems that were found are named.
    """
    problems = Problems()
    models = (
        {
            "model_name": problems.attempt(lambda: _model(request.model_name, settings)),
            "finetuned_path": problems.attempt(lambda: _finetuned(request.finetuned_path, settings)),
        }
        if hosted_id(request.model_name) is None
        else resolve_models(request, problems)
    )
    found = models | {
        "data_path": problems.attempt(lambda: _data(request.data_path, settings)),
        "benchmarks_dir": problems.attempt(lambda: _benchmarks_dir(request.benchmarks_dir, settings)),
        "output_dir": problems.attempt(lambda: paths.confine(request.output_dir, settings)),
    }
    _check_metrics(request, problems)
    _check_judge(request, problems)
    _check_gguf(request, problems)
    problems.raise_any()
    return request.model_copy(update=found)


def _check_metrics(request: EvaluateRequest, problems: Problems) -> None:
    known = (*METRICS, *scorers.names())
    for name in request.metrics or ():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(known)}."
            problems.add(
                f"metrics: there is no {quote(name)}, neither here nor as an entry point {scorers.GROUP}.", hint
            )


def _check_judge(request: EvaluateRequest, problems: Problems) -> None:
    if request.judge != "none" and request.finetuned_path is None:
        problems.add("judge: there is nothing to compare the base with.", "Give finetuned_path, or judge: none.")
    if request.judge == "endpoint" and not any(os.environ.get(name) for name in ENDPOINT):
        problems.add(
            f"judge: an endpoint needs {' or '.join(ENDPOINT)} in the server's environment.",
            "Start the server with them, or choose judge: assistant or human.",
        )


def _check_gguf(request: EvaluateRequest, problems: Problems) -> None:
    if request.benchmarks and request.finetuned_path is not None and is_gguf(request.finetuned_path):
        problems.add(
            "benchmarks: lm-eval does not ask GGUF files here.",
            "Measure the merged folder that the file was made from, or leave benchmarks out; the built-in questions "
            "are asked anyway.",
        )


def environment(request: EvaluateRequest) -> tuple[str, ...]:
    """What hosted models and judges need, and the hub's login where a model or a task may lie there.

    The key is for those workers alone that ask a provider something.
    """
    asked = hosted_id(request.model_name) is not None or request.judge == "endpoint"
    named = hub_environment(request.model_name) or ((HUB_TOKEN,) if request.benchmarks else ())
    key = CREDENTIALS if asked and not request.dry_run else ()
    return (*(OFFLINE if asked else ()), *key, *named)


def circumstances(request: EvaluateRequest) -> tuple[str, ...]:
    """The provider, where one is asked."""
    hosted = hosted_id(request.model_name) is not None or request.judge == "endpoint"
    return (shown(base_url()),) if hosted else ()


def _model(name: str, settings: Settings) -> str:
    if is_gguf(Path(name)):
        raise InputError(
            f"model_name '{name}' is a GGUF file, which can only be the fine-tuned model here.",
            "Give the file as finetuned_path, and the model that it was exported from, or its base, as model_name.",
        )
    source = resolve_model(name, settings)
    return str(source.path) if source.path else source.name


def _finetuned(path: Path | None, settings: Settings) -> Path | None:
    if path is None:
        return None
    if hosted_id(path) is not None:
        raise InputError(
            f"finetuned_path '{path}' is a hosted model, but the base is not.", "Give its base as model_name openai:..."
        )
    folder = paths.existing(path, settings, "finetuned_path")
    if is_gguf(folder):
        return folder
    for candidate in (folder, *(folder / name for name in RESULTS)):
        if is_adapter(candidate):
            return candidate
        if (candidate / "config.json").is_file():
            check_folder(candidate, settings)
            return candidate
    raise PathError(
        f"'{path}' holds neither an adapter (adapter_config.json) nor a model (config.json).",
        "Give train's or merge's output_dir, an adapter's or a merged model's folder, or a GGUF file.",
    )


def is_gguf(path: Path) -> bool:
    """Whether the fine-tuned model is a GGUF file."""
    return path.suffix == ".gguf"


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds a peft adapter rather than a whole model."""
    return (folder / "adapter_config.json").is_file()


def _data(path: Path, settings: Settings) -> Path:
    found = paths.existing(path, settings, "data_path")
    if found.is_file() and found.suffix.lower() in TO_PREPARE:
        raise InputError(
            f"data_path '{path}' is a table or text, and evaluate reads JSON Lines.",
            "Run prepare on it with valid_fraction 0, and give the train.jsonl that it writes as data_path.",
        )
    if found.is_file():
        return found
    if (found / "valid.jsonl").is_file():
        return found / "valid.jsonl"
    raise PathError(
        f"The folder '{path}' holds no valid.jsonl.",
        "Give a file of held-out rows, or prepare's output_dir after a run with valid_fraction above 0.",
    )


def _benchmarks_dir(path: Path | None, settings: Settings) -> Path | None:
    if path is None:
        return None
    folder = paths.existing(path, settings, "benchmarks_dir")
    tasks = sorted(folder.rglob("*.yaml"))
    if not tasks and not any(file.suffix.lower() in SUFFIXES for file in folder.rglob("*")):
        raise PathError(
            f"benchmarks_dir '{path}' holds neither published data ({', '.join(SUFFIXES)}) nor a .yaml task file.",
            "Give the folder where the benchmark's files lie.",
        )
    running = next((task for task in tasks if b"!function" in task.read_bytes()), None)
    if running is not None and not settings.trust_remote_code:
        raise InputError(
            f"The task file '{running}' runs Python code of its own (!function).",
            f"Write it without !function. {TRUST_LINE}",
        )
    return folder


def inputs(request: EvaluateRequest) -> tuple[Path, ...]:
    """What decides the result: data, fine-tuned model, tasks, and the base when it is a folder."""
    candidates = (Path(request.model_name), request.finetuned_path, request.data_path, request.benchmarks_dir)
    return tuple(path for path in candidates if path is not None and path.is_absolute())


def outputs(request: EvaluateRequest) -> tuple[str, ...]:
    """The answers of all rows, a picture where there is something to compare, and the page for people who judge."""
    page = (PAGE,) if request.judge == "human" else ()
    return ("samples.jsonl", "evaluation.png", *page) if request.finetuned_path else ("samples.jsonl",)
