"""DPO, KTO and ORPO give the losses of TRL's own trainers on the same tokens."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from faion_finetuner.core.examples.chat import ChatTokenizer
from faion_finetuner.core.examples.files import load_prepared
from faion_finetuner.core.models.load import load_base, load_tokenizer
from faion_finetuner.core.train.batches import PairCollator, sequences
from faion_finetuner.core.train.hyperparameters import Hyperparameters, Method, with_defaults
from faion_finetuner.core.train.model import with_adapter
from faion_finetuner.core.train.objectives import objective_of
from faion_finetuner.core.train.references import log_probabilities
from faion_finetuner.core.train.rows import Row, tokenise

from .bench import THIRD_PARTIES, Bench
from .pairs import write_pairs

pytestmark = [*THIRD_PARTIES, pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")]

BETA = 0.3
PAIRS = 4


@pytest.fixture
def model(bench: Bench) -> Any:
    torch.manual_seed(2)  # whatever ran before in this process
    base = load_base(bench.root / "tiny", dtype="float32", settings=bench.settings)
    return with_adapter(base, with_defaults(Hyperparameters(), "lora")).eval()


def disturb(model: Any) -> None:
    """Let the adapter do something, so that model and base differ."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "default" in name:
                weight += 0.05 * torch.randn_like(weight)


def rows_of(bench: Bench, method: Method) -> list[Row]:
    write_pairs(bench, PAIRS)
    prepared = load_prepared(bench.root / "pairs")
    return tokenise(prepared, ChatTokenizer.load(bench.root / "tiny"), method, None, 512).train


def our_loss(model: Any, rows: list[Row], method: Method) -> float:
    """The mean loss of the rows, with the base as the reference."""
    batch = PairCollator(pad_id=2)(list(sequences(rows, None)))  # pyright: ignore[reportArgumentType]
    objective = objective_of(method, Hyperparameters(beta=BETA))
    with torch.no_grad():
        with model.disable_adapter():
            batch["references"] = log_probabilities(model, batch, len(rows[0].parts)).T
        return (objective.summed(model, batch) / objective.units(batch)).item()


def split(row: Row) -> tuple[list[int], list[int]]:
    """Prompt and answer."""
    start = next(place for place, label in enumerate(row.labels) if label != -100)
    end = len(row.labels) - next(n for n, label in enumerate(reversed(row.labels)) if label != -100)
    return row.input_ids[:start], row.input_ids[start:end]


def options(folder: Path, max_length: int | None = None) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "beta": BETA,
        "bf16": False,
        "use_cpu": True,
        "report_to": [],
        "gradient_checkpointing": False,
        "per_device_train_batch_size": 2 * PAIRS,
        "max_length": max_length,
    }


def text_rows(**more: Any) -> Dataset:
    """Something for a trainer's constructor; the losses are those of other rows."""
    return Dataset.from_list([{"prompt": "a", **more}] * 2)


def test_dpo_has_the_loss_of_trl_s_trainer(bench: Bench, model: Any, tmp_path: Path):
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    rows = rows_of(bench, "dpo")
    trainer: Any = DPOTrainer(
        model=model,
        args=DPOConfig(**options(tmp_path)),
        train_dataset=text_rows(chosen="b", rejected="c"),
        processing_class=load_tokenizer(bench.root / "tiny"),
    )
    disturb(model)
    taken = [(split(row), split(row.rejected or row)) for row in rows]
    batch = trainer.data_collator(
        [{"prompt_ids": p, "chosen_ids": chosen, "rejected_ids": rejected} for (p, chosen), (_, rejected) in taken]
    )
    model.eval()
    with torch.no_grad():
        theirs = trainer._compute_loss(model, batch, return_outputs=False).item()
    assert theirs != pytest.approx(0.6931, abs=1e-3)
    assert our_loss(model, rows, "dpo") == pytest.approx(theirs, rel=1e-5)


def test_kto_has_the_loss_of_trl_s_trainer(bench: Bench, model: Any, tmp_path: Path):
    from trl.trainer.kto_config import KTOConfig
    from trl.trainer.kto_trainer import KTOTrainer

    rows = rows_of(bench, "kto")
    trainer: Any = KTOTrainer(
        model=model,
        args=KTOConfig(**options(tmp_path)),
        train_dataset=Dataset.from_list([{"prompt": "a", "completion": "b", "label": bool(n % 2)} for n in range(4)]),
        processing_class=load_tokenizer(bench.root / "tiny"),
    )
    disturb(model)
    taken = []
    for row in rows:
        for part, mismatched, label in zip(row.parts[:2], row.mismatched, (True, False), strict=True):
            prompt, answer = split(part)
            strange_prompt, strange = split(mismatched)
            assert strange_prompt == prompt
            assert strange != answer
            taken.append({"prompt_ids": prompt, "completion_ids": answer, "KL_completion_ids": strange, "label": label})
    model.eval()
    with torch.no_grad():
        theirs = trainer._compute_loss(model, trainer.data_collator(taken), return_outputs=False).item()
    drift = trainer._metrics["eval"]["kl"][0]
    assert drift > 0.1
    assert our_loss(model, rows, "kto") == pytest.approx(theirs, rel=1e-5)


def test_orpo_has_the_loss_of_trl_s_trainer_where_all_tokens_are_an_answer(
    bench: Bench, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    trainer: Any = ORPOTrainer(
        model=model,
        args=ORPOConfig(**options(tmp_path, max_length=512)),
        train_dataset=text_rows(chosen="b", rejected="c"),
        processing_class=load_tokenizer(bench.root / "tiny"),
    )
    disturb(model)
    model.eval()
    for row in rows_of(bench, "orpo"):
        # TRL's first part is the loss of the prompt too, so here the whole text is the answer
        chosen, rejected = (Row(1, part.input_ids, [-100, *part.input_ids[1:]]) for part in row.parts)
        pair = Row(1, chosen.input_ids, chosen.labels, rejected=rejected)
        batch = {
            f"{side}_{name}": torch.tensor([values])
            for side, part in (("chosen", chosen), ("rejected", rejected))
            for name, values in (
                ("input_ids", part.input_ids),
                ("labels", part.labels),
                ("attention_mask", [1] * len(part.input_ids)),
            )
        }
        with torch.no_grad():
            theirs = trainer.get_batch_loss_metrics(model, batch, "eval")[0].item()
        assert our_loss(model, [pair], "orpo") == pytest.approx(theirs, rel=1e-5)
