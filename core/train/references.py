"""How likely the model finds each answer before its first step: computed once, kept with the rows."""

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import load_file, save

from .. import files
from . import distributed
from .scoring import score

FILE = "references.safetensors"
COLUMN = "references"
INPUTS = ("input_ids", "labels", "attention_mask")


def remember_references(trainer: Any) -> None:
    """Give the trainer's rows the log-probabilities of their parts under the weights as they are now.

    A fresh adapter adds nothing, and full fine-tuning begins with the base: so the model before its first step, or
    before a checkpoint is loaded into it, is the reference, and no second one is held in memory. The numbers lie
    beside the checkpoints, where a resumed training finds them.
    """
    path = Path(trainer.args.output_dir) / FILE
    known = load_file(path) if path.is_file() else {}
    found = {}
    for name in ("train_dataset", "eval_dataset"):
        rows = getattr(trainer, name)
        if rows is None or COLUMN in rows.column_names:
            continue
        found[name] = known[name] if name in known and len(known[name]) == len(rows) else _computed(trainer, rows)
        setattr(trainer, name, rows.add_column(COLUMN, found[name].tolist()))
    if distributed.rank() == 0 and found.keys() - known.keys():
        with files.atomic_writer(path) as file:
            file.write(save(known | found))


def _computed(trainer: Any, rows: Dataset) -> torch.Tensor:
    """float32 (rows, parts); each process does its share of the batches."""
    trainer.run.stage("scoring the answers with the base model")
    lengths = [len(ids) for ids in rows["input_ids"]]
    order = sorted(range(len(rows)), key=lengths.__getitem__, reverse=True)
    size = trainer.args.per_device_eval_batch_size
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    model, was_training = trainer.model, trainer.model.training
    parts = sum(position == 0 for position in rows[0]["position_ids"])
    result = torch.zeros(len(rows), parts)
    model.eval()
    for start in range(0, len(batches), distributed.world_size()):
        trainer.stop_if_asked()  # in all processes at the same place
        mine = start + distributed.rank()
        if mine >= len(batches) and not trainer.sharded:
            continue
        batch = batches[min(mine, len(batches) - 1)]  # of sharded layers all compute, whether they have rows or not
        inputs = trainer.data_collator([rows[index] for index in batch])
        del inputs["rows"]
        with torch.no_grad(), trainer.compute_loss_context_manager(), trainer.autocast_smart_context_manager():
            found = log_probabilities(model, trainer._prepare_inputs(inputs), parts).T.cpu()
        if mine < len(batches):
            result[batch] = found
    model.train(was_training)
    whole = distributed.total(result.flatten().tolist(), trainer.args.device)
    return torch.tensor(whole).view(len(rows), parts)


def log_probabilities(model: Any, inputs: dict[str, Any], parts: int) -> torch.Tensor:
    """The log-probability of each answer of a batch of pairs, summed over its tokens: float32 (parts, pairs)."""
    known = {name: inputs[name] for name in INPUTS}
    scored = score(model, known)
    summed = scored.losses.new_zeros(len(known["input_ids"]))
    return -summed.index_add(0, scored.rows, scored.losses).view(parts, -1)
