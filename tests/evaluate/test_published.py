"""Published benchmark files lying about become lm-eval's tasks: the same prompts, answers and scores."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.errors import DataError, InputError
from faion_finetuner.core.evaluate.benchmarks.harness import Asking, Benchmarks
from faion_finetuner.core.models.load import load_tokenizer

from tests.evaluate.published import (
    ARC,
    ARC_OF_ITS_AUTHORS,
    GSM8K,
    HELLASWAG,
    MMLU_QUESTION,
    TRUTHFUL,
    TRUTHFUL_TARGETS,
    as_json,
    assert_same_as,
    found,
    jsonl,
    parquet,
    put,
    records,
    table,
)  # fmt: skip
from tests.tiny import THINGS

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft 0.21 asks transformers 5 by the old name
)


@pytest.fixture(scope="module")
def model(base_folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32).eval()


def logged(folder: Path) -> list[dict[str, Any]]:
    lines = (folder.parent / "scratch" / "samples-base.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


ARC_ASKED = ("Question: What is hot?\nAnswer:", [" ice", " fire", " snow"], 1)
MMLU_ASKED = (
    "The following are multiple choice questions (with answers) about anatomy.\n\n"
    "Is 2 a prime?\nA. Yes\nB. No\nC. Never\nD. Half\nAnswer:",
    [" A", " B", " C", " D"],
    0,
)
BAKING_ASKED = (
    "Baking: A man stirs dough. He",
    [" eats a car.", " bakes it.", " swims home.", " counts the stars."],
    1,
)
SHAPES = {
    "HellaSwag, JSONL": ("hellaswag", "hellaswag_val.jsonl", jsonl(HELLASWAG), BAKING_ASKED),
    "HellaSwag, Parquet": ("hellaswag", "data/validation-00000-of-00001.parquet", parquet(HELLASWAG), BAKING_ASKED),
    "HellaSwag, query": (
        "hellaswag", "hellaswag.jsonl",
        jsonl({"query": "Baking: A man stirs dough. He", "gold": 1, "choices": [
            "eats a car.", "bakes it.", "swims home.", "counts the stars."]}),
        BAKING_ASKED,
    ),
    "ARC, hub": ("arc_easy", "ARC-Easy/test-00000-of-00001.parquet", parquet(ARC), ARC_ASKED),
    "ARC, authors": ("arc_challenge", "ARC-Challenge-Test.jsonl", jsonl(ARC_OF_ITS_AUTHORS), ARC_ASKED),
    "ARC, authors' CSV": (
        "arc_easy", "ARC-Easy-Dev.csv",
        records({"questionID": "a1", "AnswerKey": "B", "question": "What is hot? (A) ice (B) fire (C) snow"}),
        ARC_ASKED,
    ),
    "ARC, query": (
        "arc_easy", "arc_easy.jsonl",
        jsonl({"query": "Question: What is hot?", "choices": ["ice", "fire", "snow"], "gold": 1}), ARC_ASKED,
    ),
    "MMLU, authors' CSV": ("mmlu_anatomy", "test/anatomy_test.csv", table([*MMLU_QUESTION, "A"]), MMLU_ASKED),
    "MMLU, CSV with a header": (
        "mmlu_anatomy", "anatomy_test.csv",
        table(["question", "choice0", "choice1", "choice2", "choice3", "answer"], [*MMLU_QUESTION, "0"]), MMLU_ASKED,
    ),
    "MMLU, hub": (
        "mmlu_anatomy", "all/test-00000-of-00001.parquet",
        parquet({"question": MMLU_QUESTION[0], "subject": "anatomy", "choices": MMLU_QUESTION[1:], "answer": 0}),
        MMLU_ASKED,
    ),
    "GSM8K": (
        "gsm8k", "test.jsonl", jsonl(GSM8K[0]),
        ("Question: Ann has 0 nuts and finds 2. How many has she?\nAnswer:", None, "0+2=<<0+2=2>>\n#### 2"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_a_published_file_is_asked_as_lm_eval_asks_it(folder: Path, base_folder: Path, model: Any, shape: str):
    task, name, write, (prompt, choices, target) = SHAPES[shape]
    put(folder, name, write)
    found(folder, base_folder, task, num_fewshot=0).measure(model, "base")
    sample = logged(folder)[0]
    assert sample["task"] == task
    assert sample["arguments"][0][0] == prompt
    assert sample["target"] == target
    if choices is not None:
        assert [argument[1] for argument in sample["arguments"]] == choices


def test_truthfulqa_s_table_gives_its_three_tasks(folder: Path, base_folder: Path, model: Any):
    put(folder, "TruthfulQA.csv", records(TRUTHFUL))
    benchmarks = found(folder, base_folder, "truthfulqa")
    scores = benchmarks.measure(model, "base")
    assert {score.task for score in scores} == {"truthfulqa_mc1", "truthfulqa_mc2", "truthfulqa_gen"}
    samples = {sample["task"]: sample for sample in logged(folder)}
    asked = "Q: Do seeds grow in you?"
    assert all(asked in sample["arguments"][0][0] for sample in samples.values())
    choices = {task: [argument[1] for argument in samples[task]["arguments"]] for task in samples if "mc" in task}
    assert choices["truthfulqa_mc1"] == [" No, they pass", " Yes", " A tree grows", " You burst"]
    assert choices["truthfulqa_mc2"] == [" No, they pass", " Nothing grows", " Yes", " A tree grows", " You burst"]
    mass = next(score.value for score in scores if score.task == "truthfulqa_mc2")
    assert mass is not None
    assert 0 < mass < 1


def test_truthfulqa_s_targets_are_taken_as_they_are(folder: Path, base_folder: Path, model: Any):
    of_the_authors = {"question": "Is it?", "mc0_targets": {"yes": 1}, "mc1_targets": {"yes": 1, "no": 0},
                      "mc2_targets": {"yes": 1, "no": 0, "never": 0}}  # fmt: skip
    put(folder, "mc_task.json", as_json([of_the_authors]))
    found(folder, base_folder, "truthfulqa_mc2").measure(model, "base")
    assert [argument[1] for argument in logged(folder)[0]["arguments"]] == [" yes", " no", " never"]
    put(folder, "mc_task.json", jsonl(TRUTHFUL_TARGETS))
    found(folder, base_folder, "truthfulqa_mc2").measure(model, "base")
    assert [argument[1] for argument in logged(folder)[0]["arguments"]] == [" No, they pass", " Yes"]


@pytest.mark.parametrize(("shots", "template"), [(None, False), (2, False), (1, True)])
def test_scores_and_answers_are_those_of_lm_eval_s_own_task(
    folder: Path, base_folder: Path, model: Any, shots: int | None, template: bool
):
    put(folder, "gsm8k/train.jsonl", jsonl(*GSM8K[4:], *GSM8K[4:]))
    put(folder, "gsm8k/test.jsonl", jsonl(*GSM8K[:4]))
    put(folder, "hellaswag_train.jsonl", jsonl(*[HELLASWAG | {"ctx_a": f"Man {n}."} for n in range(5)]))
    put(folder, "hellaswag_val.jsonl", jsonl(*[HELLASWAG | {"ctx_a": f"Boy {n}.", "label": n % 4} for n in range(5)]))
    names = ("gsm8k", "hellaswag")
    scores = found(folder, base_folder, *names, num_fewshot=shots, chat_template=template).measure(model, "base")
    theirs = lm_eval_itself(
        folder, base_folder, model,
        {
            "gsm8k": {"train": "gsm8k/train.jsonl", "test": "gsm8k/test.jsonl"},
            "hellaswag": {"train": "hellaswag_train.jsonl", "validation": "hellaswag_val.jsonl"},
        },
        num_fewshot=shots, apply_chat_template=template,
    )  # fmt: skip
    assert_same_as(theirs, scores, logged(folder), names)


OWN = {"arc_easy": "arc/arc_easy.yaml", "mmlu_anatomy": "mmlu/default/mmlu_anatomy.yaml"}


def lm_eval_itself(
    folder: Path, base_folder: Path, model: Any, data: dict[str, dict[str, str]], **arguments: Any
) -> Any:
    """By lm-eval's own entry point and its own task files, which read the same rows instead of the hub's."""
    import lm_eval.tasks
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models import huggingface

    tasks = folder.parent / "own-tasks"
    tasks.mkdir()
    for name, splits in data.items():
        own = Path(str(lm_eval.tasks.__file__)).parent / OWN.get(name, f"{name}/{name}.yaml")
        data_files = {split: str(folder / file) for split, file in splits.items()}
        kwargs = {"data_files": data_files, "cache_dir": str(folder.parent / "own-cache")}
        task = {"include": str(own), "dataset_path": "json", "dataset_name": None, "dataset_kwargs": kwargs}
        if "train" not in splits:
            task |= {"training_split": None, "validation_split": None, "fewshot_split": None}
        (tasks / f"{name}.yaml").write_text(json.dumps(task))
    wrap: Any = huggingface.HFLM
    return simple_evaluate(
        model=wrap(pretrained=model, tokenizer=load_tokenizer(base_folder), batch_size=16),
        tasks=list(data),
        task_manager=lm_eval.tasks.TaskManager(include_path=str(tasks), include_defaults=False),
        bootstrap_iters=0,
        **arguments,
    )


def test_odd_but_right_files_are_scored_as_lm_eval_scores_the_hub_s_rows(folder: Path, base_folder: Path, model: Any):
    """Commas and line breaks in quoted cells, choices numbered as JSON numbers, thousands separators."""
    asked = [f'In "ice, snow,\nand {n}", which is hot?' for n in range(4)]
    choices = ["ice, cold", "fire, red", '"snow"', "none\nof them"]
    put(folder, "test/anatomy_test.csv", table(*[[one, *choices, "BADC"[n]] for n, one in enumerate(asked)]))
    numbered = {"text": ["ice", "fire", "snow"], "label": [1, 2, 3]}
    arc = [{"question": f"{n} fires are?", "choices": numbered, "answerKey": n % 3 + 1} for n in range(5)]
    put(folder, "ARC-Easy/test.jsonl", jsonl(*arc))
    sums = [{"question": f"What is {n} times 1,000?", "answer": f"So it is\n#### {n},000"} for n in range(1, 4)]
    put(folder, "gsm8k_test.jsonl", jsonl(*sums))
    names = ("mmlu_anatomy", "arc_easy", "gsm8k")
    scores = found(folder, base_folder, *names, num_fewshot=0).measure(model, "base")

    as_text = {"text": numbered["text"], "label": ["1", "2", "3"]}
    hub = [
        {"question": one, "subject": "anatomy", "choices": choices, "answer": "ABCD".index("BADC"[n])}
        for n, one in enumerate(asked)
    ]
    put(folder.parent, "hub/mmlu_anatomy.jsonl", jsonl(*hub))
    put(
        folder.parent,
        "hub/arc_easy.jsonl",
        jsonl(*[row | {"choices": as_text, "answerKey": str(row["answerKey"])} for row in arc]),
    )
    put(folder.parent, "hub/gsm8k.jsonl", jsonl(*sums))
    theirs = lm_eval_itself(
        folder.parent / "hub", base_folder, model,
        {name: {"test": f"{name}.jsonl"} for name in names},
        num_fewshot=0,
    )  # fmt: skip
    assert_same_as(theirs, scores, logged(folder), names)


def test_mmlu_is_weighed_over_the_subjects_that_lie_there(folder: Path, base_folder: Path, model: Any):
    for subject, n in (("anatomy", 3), ("virology", 5), ("abstract_algebra", 2)):
        put(
            folder,
            f"test/{subject}_test.csv",
            table(*[[f"{subject} {i}?", "1", "2", "3", "4", "ABCD"[i % 4]] for i in range(n)]),
        )
        put(
            folder,
            f"dev/{subject}_dev.csv",
            table(*[[f"{subject} dev {i}?", "1", "2", "3", "4", "B"] for i in range(2)]),
        )
    benchmarks = found(folder, base_folder, "mmlu", num_fewshot=1)
    (score,) = benchmarks.measure(model, "base")
    samples = logged(folder)
    assert (score.task, score.n, len(samples)) == ("mmlu", 10, 10)
    assert score.value == pytest.approx(sum(sample["acc"] for sample in samples) / 10)
    assert all("dev 0?\nA. 1" in sample["arguments"][0][0] for sample in samples)
    told = (
        "mmlu: 10 items of 3 tasks from abstract_algebra_test.csv and 2 more files, 1 example in each prompt, from "
        "abstract_algebra_dev.csv and 2 more files, without the chat template, as is lm-eval's default."
    )
    assert {check.details for check in benchmarks.checks()} == {told}


def test_examples_from_the_asked_rows_never_show_the_asked_one(folder: Path, base_folder: Path, model: Any):
    put(folder, "gsm8k_test.jsonl", jsonl(*GSM8K[:4]))
    benchmarks = found(folder, base_folder, "gsm8k", num_fewshot=2)
    benchmarks.measure(model, "base")
    for sample in logged(folder):
        assert sample["arguments"][0][0].count(sample["doc"]["question"]) == 1
    (check,) = benchmarks.checks()
    assert check.details.startswith(
        "gsm8k: 4 items from gsm8k_test.jsonl, 2 examples in each prompt, drawn from the other"
    )


def test_rows_without_an_answer_are_left_out_and_counted(folder: Path, base_folder: Path, model: Any):
    put(folder, "hellaswag_test.jsonl", jsonl(HELLASWAG, HELLASWAG | {"label": ""}))
    benchmarks = found(folder, base_folder, "hellaswag")
    assert benchmarks.measure(model, "base")[0].n == 1
    assert "1 items from hellaswag_test.jsonl (1 more tell no right answer" in benchmarks.checks()[0].details
    put(folder, "hellaswag_test.jsonl", jsonl(HELLASWAG | {"label": ""}))
    with pytest.raises(DataError, match="no row with a right answer"):
        found(folder, base_folder, "hellaswag")


def test_what_is_not_recognised_is_named_with_its_columns(folder: Path, base_folder: Path):
    put(folder, "swag.jsonl", jsonl({"start": "A man", "ends": ["a", "b"]}))
    with pytest.raises(InputError) as refused:
        found(folder, base_folder, "hellaswag")
    assert "hellaswag" in refused.value.problem
    assert "'swag.jsonl' (columns: «start», «ends»)" in refused.value.problem


def test_two_files_for_one_split_are_refused(folder: Path, base_folder: Path):
    put(folder, "gsm8k_test.jsonl", jsonl(*GSM8K))
    put(folder, "old/gsm8k_test.jsonl", jsonl(*GSM8K))
    with pytest.raises(InputError, match=r"old/gsm8k_test\.jsonl"):
        found(folder, base_folder, "gsm8k")


def test_arc_must_say_whether_it_is_easy(folder: Path, base_folder: Path):
    put(folder, "test.parquet", parquet(ARC))
    with pytest.raises(InputError, match="does not say which"):
        found(folder, base_folder, "arc_easy")


def test_a_row_unlike_the_first_is_named(folder: Path, base_folder: Path):
    put(folder, "gsm8k_test.jsonl", jsonl(GSM8K[0], {"question": "no answer"}))
    with pytest.raises(DataError, match=r"gsm8k_test\.jsonl', row 2"):
        found(folder, base_folder, "gsm8k")


def test_a_chat_template_that_does_not_exist_is_refused(folder: Path, base_folder: Path):
    put(folder, "gsm8k_test.jsonl", jsonl(*GSM8K))
    tokenizer = load_tokenizer(base_folder)
    tokenizer.chat_template = None
    with pytest.raises(InputError, match="no chat template"):
        Benchmarks(Asking(("gsm8k",), folder, chat_template=True), tokenizer, folder.parent / "scratch")


def test_items_that_only_one_model_got_right_are_kept_with_both_answers(
    folder: Path, base_folder: Path, adapter_folder: Path, model: Any
):
    from faion_finetuner.core.models.load import attach_adapter

    draw = random.Random(3)
    endings = [[" ".join(draw.sample(THINGS, 3)) for _ in range(4)] for _ in range(40)]
    rows = [HELLASWAG | {"ctx_a": f"Boy {n}.", "label": n % 4, "endings": endings[n]} for n in range(40)]
    put(folder, "hellaswag_val.jsonl", jsonl(*rows))
    benchmarks = found(folder, base_folder, "hellaswag")
    adapted = attach_adapter(copy.deepcopy(model), adapter_folder)
    with adapted.disable_adapter():
        base = benchmarks.measure(adapted, "base")
    tuned = benchmarks.measure(adapted, "finetuned")
    check = benchmarks.compare_answers()
    lines = (folder.parent / "scratch" / "flips.jsonl").read_text().splitlines()
    flips = [json.loads(line) for line in lines]
    changed = {
        (score.metric, "gained" if other.items[item] else "lost", item.split("/")[1])
        for score, other in zip(base, tuned, strict=True)
        for item, was in score.items.items()
        if other.items[item] != was
    }
    assert changed
    assert {(flip["metric"], flip["flip"], flip["prompt"].split()[2][:-1]) for flip in flips} == changed
    assert check.count == len(flips) == len(changed)
    for flip in flips:
        right, wrong = (
            (flip["finetuned"], flip["base"]) if flip["flip"] == "gained" else (flip["base"], flip["finetuned"])
        )
        assert right == flip["target"] != wrong
