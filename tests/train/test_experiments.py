"""Several experiments in one run: one base, one comparison, and each as if it had been trained alone."""

import json
from typing import Any

import pytest
from faion_finetuner.core.errors import Cancelled, InputError
from faion_finetuner.core.train import model
from faion_finetuner.core.train.job import run
from faion_finetuner.core.train.report import report
from faion_finetuner.core.train.request import outputs
from faion_finetuner.core.train.result import TrainResult

from .bench import THIRD_PARTIES, Bench, StopAfter

pytestmark = THIRD_PARTIES

SHORT: dict[str, Any] = {"hyperparameters": {"max_steps": 4, "save_steps": 2}}


def named(result: TrainResult) -> dict[str, Any]:
    return {one.name: one for one in result.experiments}


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was loaded as a base."""
    found: list[Any] = []
    load = model.load_base
    monkeypatch.setattr(model, "load_base", lambda *given, **more: found.append(given) or load(*given, **more))
    return found


def test_experiments_over_one_base_end_as_each_does_alone_and_the_best_is_the_result(bench: Bench, loads: list[Any]):
    changes: list[dict[str, Any]] = [{"learning_rate": 1e-4}, {"rank": 4}, {"dropout": 0.1}]
    result = bench.train(experiments=changes, **SHORT)
    assert len(loads) == 1
    found = named(result)
    assert set(found) == {"1-learning-rate-0.0001", "2-rank-4", "3-dropout-0.1"}
    for name, change in zip(sorted(found), changes, strict=True):
        alone = bench.train(f"alone-{name}", hyperparameters=SHORT["hyperparameters"] | change)
        assert alone.best is not None
        assert found[name].val_loss == pytest.approx(alone.best.val_loss, rel=1e-6)
        assert found[name].train_loss == pytest.approx(alone.last_train_loss, rel=1e-6)
    losses = [one.val_loss or 0 for one in result.experiments]
    assert losses == sorted(losses)
    best = result.experiments[0]
    assert (best.is_best, best.adapter_path) == (True, result.adapter_path)
    assert best.adapter_path == str(bench.root / "out" / "experiments" / best.name / "adapter")
    assert set(outputs(bench.request(experiments=changes))) == {
        "loss.png", "learning_rate.png", "gradient_norm.png", "experiments",
    }  # fmt: skip


def test_pissa_changes_its_base_so_the_next_experiment_has_another(bench: Bench, loads: list[Any]):
    result = bench.train(experiments=[{"init_lora_weights": "pissa"}, {"rank": 4}], **SHORT)
    assert len(loads) == 2
    alone = bench.train("alone", hyperparameters=SHORT["hyperparameters"] | {"rank": 4})
    assert named(result)["2-rank-4"].train_loss == pytest.approx(alone.last_train_loss, rel=1e-6)


def test_an_experiment_that_fails_is_told_and_the_others_go_on(bench: Bench):
    result = bench.train(experiments=[{"target_modules": ["query"]}, {"rank": 4}], **SHORT)
    failed = named(result)["1-target-modules-query"]
    assert "name no layers" in failed.error
    assert "q_proj" in failed.error
    assert [one.name for one in result.experiments] == ["2-rank-4", "1-target-modules-query"]
    check = next(check for check in result.checks if check.name == "Experiments")
    assert (check.status, check.count) == ("warn", 1)
    text = report(result).markdown
    assert "| **2-rank-4** (best) | rank 4 |" in text
    assert "name no layers of this model" in text.split("## Configuration")[0]


def test_when_every_experiment_fails_the_run_fails(bench: Bench):
    with pytest.raises(InputError, match="All 2 experiments failed"):
        bench.train(experiments=[{"target_modules": ["a"]}, {"target_modules": ["b"]}], **SHORT)


def test_a_stopped_run_goes_on_at_the_experiment_it_was_in(bench: Bench):
    given = {"experiments": [{"rank": 4}, {"rank": 8}], **SHORT}
    whole = bench.train("whole", **given)
    request, stopped = bench.request("cut", **given), StopInExperiment(bench.active("cut"), 3, "2-rank-8")
    with pytest.raises(Cancelled):
        run(request, stopped)
    begun = (bench.root / "cut" / "experiments" / "1-rank-4" / "result.json").stat().st_mtime_ns
    resumed = run(request, bench.active("cut", resume=True))
    assert (bench.root / "cut" / "experiments" / "1-rank-4" / "result.json").stat().st_mtime_ns == begun
    for name, one in named(whole).items():
        assert named(resumed)[name].train_loss == pytest.approx(one.train_loss, rel=1e-6)
        assert named(resumed)[name].val_loss == pytest.approx(one.val_loss, rel=1e-6)
    lines = [json.loads(line) for line in bench.active("cut").folder.metrics_path.read_text().splitlines()]
    assert [(line["experiment"], line["step"]) for line in lines if "train_loss" in line] == [
        *(("1-rank-4", step) for step in (1, 2, 3, 4)),
        *(("2-rank-8", step) for step in (1, 2, 3, 4)),
    ]


class StopInExperiment(StopAfter):
    """A run that is asked to stop in one of its experiments."""

    def __init__(self, run: Any, step: int, name: str) -> None:
        super().__init__(run, step)
        self.run = run
        self.name = name

    def metric(self, values: Any) -> None:
        self.run.metric(values)
        if values["experiment"] == self.name and values["step"] >= self.step and "train_loss" in values:
            self.request_stop()


def test_losses_of_different_things_are_not_compared_in_silence(bench: Bench):
    result = bench.train(experiments=[{"max_seq_length": 30}, {}], **SHORT)
    check = next(check for check in result.checks if check.name == "Comparison")
    assert "differ in max_seq_length" in check.details


def test_a_dry_run_adds_the_experiments_up_and_writes_nothing(bench: Bench):
    result = bench.train(experiments=[{"max_steps": 3}, {"max_steps": 5}], dry_run=True)
    assert result.plan is not None
    assert result.plan.steps == 8
    assert bench.files() == set()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"experiments": [{"rank": 8}, {"rnak": 4}]}, "number 2.*rnak.*no such hyperparameter"),
        ({"experiments": [{"rank": 0}]}, "number 1.*rank.*greater than or equal to 1"),
        ({"experiments": [{"rank": 4}, {"rank": 8}, {"rank": 4}]}, "number 3: the same as number 1"),
        ({"experiments": [{"learning_rate": 1e-5}], "technique": "full"}, "several adapters over one base"),
        ({"experiments": [{"beta": 0.2}]}, "beta weighs a preference"),
    ],
)
def test_what_cannot_be_an_experiment_is_refused_at_once(bench: Bench, given: dict[str, Any], problem: str):
    with pytest.raises(InputError, match=problem):
        bench.request(**given)
