"""lm-eval benchmarks from local task files, on a tiny model."""

import json
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.errors import DataError, InputError
from faion_finetuner.core.evaluate.benchmarks.harness import Asking, Benchmarks
from faion_finetuner.core.evaluate.request import EvaluateRequest, resolve
from faion_finetuner.core.models.load import load_tokenizer
from faion_finetuner.core.settings import Settings

from tests.evaluate.published import ARC, jsonl, put

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft 0.21 asks transformers 5 by the old name
)

TASK = """task: colours
dataset_path: json
dataset_kwargs: {data_files: {test: items.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_target: right
doc_to_choice: choices
metric_list: [{metric: acc}, {metric: acc_norm}]
metadata: {version: 1.0}
"""


@pytest.fixture
def tasks_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "colours.yaml").write_text(TASK)
    items = [{"question": f"Item {n}: red or blue?", "choices": ["red", "blue"], "right": n % 2} for n in range(20)]
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return folder


@pytest.fixture
def models(base_folder: Path, adapter_folder: Path) -> Any:
    import torch
    from faion_finetuner.core.models.load import attach_adapter
    from transformers import AutoModelForCausalLM

    return attach_adapter(AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32), adapter_folder)


def benchmarks(tmp_path: Path, base_folder: Path, asking: Asking) -> Benchmarks:
    return Benchmarks(asking, load_tokenizer(base_folder), tmp_path / "scratch")


def lm_eval_scores(model: Any, tokenizer: Any, folder: Path, tasks: list[Any], **arguments: Any) -> Any:
    """What lm-eval itself finds, by its own entry point."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models import huggingface
    from lm_eval.tasks import TaskManager

    wrap: Any = huggingface.HFLM
    manager: Any = TaskManager(include_path=str(folder), include_defaults=False)
    lm = wrap(pretrained=model, tokenizer=tokenizer, batch_size=16)
    return simple_evaluate(model=lm, tasks=tasks, task_manager=manager, bootstrap_iters=0, **arguments)


def values(results: Any) -> dict[str, float]:
    return {
        metric if used == "none" else f"{metric} ({used})": value
        for key, value in results.items()
        for metric, comma, used in [key.partition(",")]
        if comma and not metric.endswith("_stderr")
    }


def test_scores_equal_those_of_lm_eval_and_keep_their_items(
    tmp_path: Path, tasks_dir: Path, models: Any, base_folder: Path
):
    found = benchmarks(tmp_path, base_folder, Asking(("colours",), tasks_dir))
    with models.disable_adapter():
        base = found.measure(models, "base")
    tuned = found.measure(models, "finetuned")
    (tasks_dir / "colours.yaml").write_text(TASK.replace("items.jsonl", str(tasks_dir / "items.jsonl")))
    tokenizer = load_tokenizer(base_folder)
    own_tuned = lm_eval_scores(models, tokenizer, tasks_dir, ["colours"])
    models.base_model.disable_adapter_layers()
    own_base = lm_eval_scores(models, tokenizer, tasks_dir, ["colours"])
    for scores, own in ((tuned, own_tuned), (base, own_base)):
        assert {score.metric: score.value for score in scores} == values(own["results"]["colours"])
    assert [(score.task, score.metric, score.n, len(score.items)) for score in base] == [
        ("colours", "acc", 20, 20),
        ("colours", "acc_norm", 20, 20),
    ]
    assert base[0].items.keys() == tuned[0].items.keys()


def test_the_limit_holds_for_benchmarks_too(tmp_path: Path, tasks_dir: Path, models: Any, base_folder: Path):
    found = benchmarks(tmp_path, base_folder, Asking(("colours",), tasks_dir, limit=5))
    (score, _) = found.measure(models, "base")
    assert (score.n, len(score.items)) == (5, 5)


@pytest.fixture
def few_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval brings some of its 14,000 task files alone, which are found as all of them are."""
    import lm_eval.tasks
    from lm_eval.tasks._index import TaskIndex

    find: Any = TaskIndex._iter_yaml_files
    whole = Path(str(lm_eval.tasks.__file__)).parent
    monkeypatch.setattr(TaskIndex, "_iter_yaml_files", lambda root: find(root / "hellaswag" if root == whole else root))


@pytest.mark.usefixtures("few_tasks")
def test_a_task_that_does_not_exist_is_named_with_the_nearest(tmp_path: Path, tasks_dir: Path, base_folder: Path):
    with pytest.raises(InputError, match="colors") as refused:
        benchmarks(tmp_path, base_folder, Asking(("colors",), tasks_dir))
    assert "colours" in refused.value.next_step
    with pytest.raises(InputError, match="helaswag") as refused:
        benchmarks(tmp_path, base_folder, Asking(("helaswag",), tasks_dir))
    assert "hellaswag" in refused.value.next_step


def test_a_task_without_its_data_names_benchmarks_dir(tmp_path: Path, tasks_dir: Path, base_folder: Path):
    (tasks_dir / "items.jsonl").unlink()
    with pytest.raises(DataError, match="colours") as refused:
        benchmarks(tmp_path, base_folder, Asking(("colours",), tasks_dir))
    assert "benchmarks_dir" in refused.value.next_step


@pytest.mark.usefixtures("few_tasks", "tasks_dir")
def test_of_several_tasks_those_without_data_are_named_alone(tmp_path: Path, base_folder: Path):
    put(tmp_path / "published", "arc_easy.jsonl", jsonl(ARC))
    with pytest.raises(DataError, match="data of hellaswag cannot be loaded") as refused:
        benchmarks(tmp_path, base_folder, Asking(("arc_easy", "hellaswag"), tmp_path / "published"))
    assert refused.value.next_step.startswith(f"Put into benchmarks_dir '{tmp_path / 'published'}'")


def test_a_template_in_a_task_file_cannot_reach_python(tmp_path: Path, tasks_dir: Path, models: Any, base_folder: Path):
    evil = TASK.replace("{{question}}", "{{question.__class__.__mro__[1].__subclasses__()}}")
    (tasks_dir / "colours.yaml").write_text(evil)
    with pytest.raises(DataError, match="unsafe"):
        benchmarks(tmp_path, base_folder, Asking(("colours",), tasks_dir)).measure(models, "base")


def test_task_files_that_run_code_are_refused(tasks_dir: Path, settings: Settings):
    folder = settings.roots[0] / "tasks"
    folder.mkdir()
    (folder / "colours.yaml").write_text(TASK + "process_docs: !function evil.process\n")
    (settings.roots[0] / "rows.jsonl").write_text("{}\n")
    request = EvaluateRequest(
        model_name="org/model",
        data_path=Path("rows.jsonl"),
        output_dir=Path("out"),
        benchmarks=("colours",),
        benchmarks_dir=Path("tasks"),
    )
    with pytest.raises(InputError, match="!function"):
        resolve(request, settings)
    trusting = settings.model_copy(update={"trust_remote_code": True})
    assert resolve(request, trusting).benchmarks_dir == folder
