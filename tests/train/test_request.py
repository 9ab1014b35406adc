"""What may be asked for, what is refused before anything starts, and the defaults."""

import pytest
from faion_finetuner.core.errors import InputError, PathError
from faion_finetuner.core.schema import descriptions
from faion_finetuner.core.train.hyperparameters import Hyperparameters, with_defaults
from faion_finetuner.core.train.request import TrainRequest, outputs
from pydantic import ValidationError

from .bench import Bench


def test_the_defaults_are_those_of_the_technique():
    lora, qlora, full = (with_defaults(Hyperparameters(), t) for t in ("lora", "qlora", "full"))
    assert (lora.rank, lora.alpha, lora.dropout, lora.learning_rate) == (16, 16, 0, 2e-4)
    assert (lora.batch_size, lora.gradient_accumulation, lora.epochs) == (4, 4, 3)
    assert (lora.warmup_ratio, lora.weight_decay, lora.scheduler) == (0.03, 0.01, "cosine")
    assert (qlora.batch_size, qlora.gradient_accumulation, qlora.rank) == (2, 8, 16)
    assert (full.learning_rate, full.rank, full.target_modules) == (2e-5, None, None)


def test_what_was_asked_for_stands_before_the_defaults():
    asked = with_defaults(Hyperparameters(rank=8, early_stopping_patience=0), "lora")
    assert (asked.rank, asked.alpha, asked.early_stopping_patience) == (8, 16, 0)


def test_unknown_hyperparameters_are_refused():
    with pytest.raises(ValidationError, match="learning_rat"):
        Hyperparameters.model_validate({"learning_rat": 1e-4})


def test_adapter_numbers_make_no_sense_for_full_fine_tuning(bench: Bench):
    with pytest.raises(InputError, match="rank, dropout mean nothing"):
        bench.request(technique="full", hyperparameters={"rank": 8, "dropout": 0.1})


def test_all_problems_are_named_at_once(bench: Bench):
    with pytest.raises(InputError) as caught:
        bench.request(data_path="dat", model_name="smolm2-135m-instruct", resume=True)
    assert caught.value.problem.count("\n- ") == 2
    assert "data" in caught.value.next_step
    assert "smollm2-135m-instruct" in caught.value.next_step


def test_a_folder_without_training_rows_is_refused(bench: Bench):
    (bench.root / "data" / "train.jsonl").unlink()
    with pytest.raises(PathError, match=r"no train\.jsonl"):
        bench.request()


def test_resuming_needs_a_checkpoint(bench: Bench):
    with pytest.raises(PathError, match="holds no checkpoint"):
        bench.request(resume=True)


def test_paths_become_absolute_and_outputs_are_named(bench: Bench):
    request = bench.request()
    assert request.data_path == bench.root / "data"
    assert request.model_name == str(bench.root / "tiny")
    assert outputs(request) == ("adapter", "loss.png", "learning_rate.png", "gradient_norm.png", "checkpoints")
    assert outputs(bench.request(technique="full"))[0] == "model"


def test_every_argument_explains_itself():
    for model in (TrainRequest, Hyperparameters):
        assert descriptions(model).keys() >= model.model_fields.keys()
