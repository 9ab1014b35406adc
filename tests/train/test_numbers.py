"""What is said of numbers that can teach little or nothing, before a training and after it."""

from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.checks import Check
from faion_finetuner.core.errors import InputError
from faion_finetuner.core.train.settle import settle_job

from .bench import THIRD_PARTIES, Bench, Told

pytestmark = THIRD_PARTIES
SOUND = {"learning_rate": 2e-4, "batch_size": 2, "gradient_accumulation": 2}


def check(bench: Bench, name: str, **numbers: Any) -> Check:
    job = settle_job(bench.request(hyperparameters=SOUND | numbers), bench.active())
    return next(check for check in job.checks if check.name == name)


def test_sound_numbers_pass(bench: Bench):
    assert check(bench, "Steps").details == "Optimizer steps: 36, in 3 epochs."
    assert [check(bench, name).status for name in ("Steps", "Learning rate", "Adapter")] == ["pass"] * 3


def test_few_steps_and_a_long_warm_up_are_named_before_they_are_taken(bench: Bench, told: Told):
    one = check(bench, "Steps", max_steps=1)
    assert one.status == "warn"
    assert "1 of them warm up, the first at a learning rate of 0" in one.details
    assert "About 44 of 48 training rows are never read" in one.details
    assert one.next_step is not None
    assert "warmup_ratio" in one.next_step
    told("One step, which is all warm-up", f"{one.status}: {one.details}")
    few = check(bench, "Steps", batch_size=1000)
    assert (few.status, "So few seldom teach" in few.details) == ("warn", True)
    assert check(bench, "Steps", warmup_ratio=0.9).status == "warn"


@pytest.mark.parametrize(("rate", "said"), [(1.0, "5e+03 times that: a model may forget"), (1e-7, "hardly move")])
def test_a_rate_far_from_the_usual_is_named(bench: Bench, rate: float, said: str):
    found = check(bench, "Learning rate", learning_rate=rate)
    assert (found.status, said in found.details) == ("warn", True), found.details


def test_a_rank_beyond_the_model_and_an_alpha_that_stayed_behind_are_named(bench: Bench, told: Told):
    wide = check(bench, "Adapter", rank=128, alpha=128)
    assert (wide.status, "The model is 64 numbers wide" in wide.details) == ("warn", True)
    told("A rank beyond the model's width", f"{wide.status}: {wide.details}")
    weak = check(bench, "Adapter", rank=64)
    assert (weak.status, "strength of 0.25" in weak.details) == ("warn", True)
    assert "alpha stayed at its default" in weak.details
    assert check(bench, "Adapter", rank=64, alpha=16).status == "pass"  # asked for
    assert check(bench, "Adapter", rank=4, alpha=64).status == "warn"


def test_a_layer_name_that_the_model_lacks_is_refused_beside_one_that_it_has(bench: Bench):
    with pytest.raises(InputError, match="target_modules query name no layers") as caught:
        check(bench, "Adapter", target_modules=["q_proj", "query"])
    assert "v_proj" in caught.value.next_step
    assert check(bench, "Adapter", target_modules=["layers.0.self_attn.q_proj"]).status == "pass"


def test_an_adapter_on_the_output_layer_is_refused_by_name(bench: Bench):
    with pytest.raises(InputError, match="An adapter on lm_head would never be trained"):
        bench.request(hyperparameters={"target_modules": ["q_proj", "lm_head"]})


def test_a_training_that_only_warmed_up_blames_the_warm_up(bench: Bench):
    result = bench.train(hyperparameters=SOUND | {"max_steps": 1})
    symptoms = {one.symptom: one for one in result.diagnosis}
    assert "warm-up" in symptoms["Frozen learning rate"].cause
    assert "too low" in symptoms["The model is no better than before"].cause
    assert Path(str(result.adapter_path)).is_dir()
