"""Other programs that a training is shown in: theirs is written locally, and a missing one is named."""

import importlib.util
import os
from typing import Any

import pytest
from faion_finetuner.core.errors import MissingExtraError
from faion_finetuner.core.train.logs import WANDB, logging_to
from faion_finetuner.core.train.mode import MODE

from .bench import THIRD_PARTIES, Bench

pytestmark = THIRD_PARTIES

SHORT: dict[str, Any] = {"hyperparameters": {"max_steps": 2}}


@pytest.mark.parametrize("target", ["tensorboard", "wandb", "trackio"])
def test_a_missing_package_is_named_with_its_install_line(bench: Bench, monkeypatch: pytest.MonkeyPatch, target: str):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == target else found(name, *more))
    with pytest.raises(MissingExtraError, match=f"log_to: {target} needs the package '{target}'") as caught:
        bench.request(log_to=target)
    assert f"pip install {target}" in caught.value.next_step


def test_only_a_run_that_logs_to_wandb_sees_its_key(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: object())
    assert MODE.environment(bench.request()) == ()
    assert MODE.environment(bench.request(log_to="tensorboard")) == ()
    assert MODE.environment(bench.request(log_to="wandb")) == WANDB


def test_wandb_stays_offline_unless_its_mode_is_set_and_the_variables_are_as_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("wandb")
    for mode, used in (("", "offline"), ("online", "online")):
        monkeypatch.setenv("WANDB_MODE", mode)
        with logging_to("wandb", bench.root):
            assert os.environ["WANDB_MODE"] == used
        assert os.environ["WANDB_MODE"] == mode
        assert "WANDB_DIR" not in os.environ


def test_tensorboard_has_every_number_of_every_experiment(bench: Bench):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = bench.train(log_to="tensorboard", experiments=[{"rank": 4}, {"rank": 8}], **SHORT)
    for name in ("1-rank-4", "2-rank-8"):
        events = EventAccumulator(str(bench.root / "out" / "tensorboard" / name))
        events.Reload()
        assert [event.step for event in events.Scalars("train/loss")] == [1, 2]
        assert {"eval/loss", "train/learning_rate", "train/tokens_per_second"} <= set(events.Tags()["scalars"])
    assert len(result.experiments) == 2


@pytest.mark.slow
def test_wandb_offline_leaves_a_run_to_sync(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    bench.train(log_to="wandb", **SHORT)
    assert list((bench.root / "out" / "wandb").glob("offline-run-*/run-*.wandb"))
