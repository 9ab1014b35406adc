"""Rows longer than the model's window, and prompts long enough to matter."""

from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.evaluate import contestants, plan
from faion_finetuner.core.evaluate.local import likelihood
from faion_finetuner.core.examples.chat import ChatTokenizer
from faion_finetuner.core.models.generate import generate
from faion_finetuner.core.models.load import load_base
from faion_finetuner.core.runs.active import ActiveRun

from tests.evaluate.conftest import distinct_rows, write_rows
from tests.evaluate.world import World

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def test_prompts_of_any_length_cost_no_more_than_a_window_each(
    world: World, base_folder: Path, adapter_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    rows = distinct_rows(12, seed=6)
    for number, row in enumerate(rows[:4]):
        row["messages"][0]["content"] = f"{number} red apple. " * 2_000
    data = write_rows(world.settings.roots[0] / "rows.jsonl", rows)
    arguments = {"model_name": str(base_folder), "finetuned_path": adapter_folder, "data_path": data}
    planned = world.run(**arguments, dry_run=True).plan
    assert planned is not None
    assert planned.scored_tokens < 2 * (12 * 512 + 48 * 60)  # both models; rows, and the built-in questions
    told = []
    monkeypatch.setattr(likelihood, "TOKENS_AT_ONCE", 512)  # as one window of a model whose windows are long
    monkeypatch.setattr(
        ActiveRun, "progress", lambda _, done, total, unit, message="": told.append((done, total, unit))
    )
    result = world.run(**arguments)
    assert result.perplexity_all_tokens is not None
    assert result.perplexity_all_tokens.tokens < 12 * 512
    read = [(done, total) for done, total, unit in told if unit == "tokens"]
    of_base = read[: len(read) // 2]
    assert of_base == sorted(of_base)
    assert of_base[-1][0] == of_base[-1][1] < 12 * 512
    assert len([done for done, _ in of_base if done < 512]) > 1  # each layer that a long row passes is heard of
    assert {row.n for row in result.scores} == {8}


def test_the_time_of_a_dry_run_counts_attention_by_its_own_speed(
    world: World, base_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    rows = distinct_rows(12, seed=6)
    short = write_rows(world.settings.roots[0] / "short.jsonl", rows)
    for number, row in enumerate(rows):
        row["messages"][0]["content"] = f"{number} red apple. " * 60
    long = write_rows(world.settings.roots[0] / "long.jsonl", rows)
    monkeypatch.setattr(plan, "_seconds_for_a_pair", lambda _: 1.0)
    monkeypatch.setattr(plan, "_arithmetic_per_second", lambda _: float("inf"))
    plans = [world.run(model_name=str(base_folder), data_path=data, dry_run=True).plan for data in (short, long)]
    seconds, tokens = zip(*((one.seconds, one.scored_tokens - 48 * 45) for one in plans if one), strict=True)
    assert seconds[1] / seconds[0] > (tokens[1] / tokens[0]) ** 1.8  # grows with the square


def test_long_prompts_are_answered_few_at_once(world: World, base_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(contestants, "PROMPT_TOKENS_AT_ONCE", 256)
    sizes, told = [], []

    def counted(*given: Any, batch_size: int, **options: Any) -> Any:
        sizes.append((batch_size, len(given[2])))
        return generate(*given, batch_size=batch_size, **options)

    tokenizer = ChatTokenizer.load(base_folder)
    prompts = ["A red apple.", "A red apple. " * 30, "A blue stone.", "A white cloud. " * 9]
    model = contestants.LoadedModel(load_base(base_folder, settings=world.settings), tokenizer)
    together = model.answers(prompts, 12, lambda _: None)
    alone = [model.answers([prompt], 12, lambda _: None)[0] for prompt in prompts]
    assert together == alone
    monkeypatch.setattr(contestants, "generate", counted)
    model.answers(prompts, 12, told.append)
    assert sizes == [(1, 1), (4, 1), (32, 2)]
    monkeypatch.setattr(contestants, "PROMPT_TOKENS_AT_ONCE", 16_384)
    monkeypatch.setattr(contestants, "ALONE", 100)  # the longest goes alone, where no mask doubles its attention
    sizes.clear()
    assert model.answers(prompts, 12, lambda _: None) == alone
    assert sizes == [(1, 1), (32, 3)]
    assert told == sorted(told)
    assert told[-1] >= 2
