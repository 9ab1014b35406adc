"""The model card: what this model is made of, how it was trained and measured, and how that was proven."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..models.licence import Licence
from ..reports.markdown import bytes_size, percent, table
from .plan import Weighted
from .provenance import Evaluation, Score, Training
from .result import Export, Verification

HIGHLIGHTS = (
    *("rank", "alpha", "learning_rate", "epochs", "max_steps", "batch_size", "gradient_accumulation"),
    *("max_seq_length", "scheduler", "warmup_ratio", "beta"),
)


@dataclass(frozen=True)
class Ingredients:
    """What a card tells of."""

    model_name: str
    base_dtype: str
    dtype: str
    adapters: Sequence[Weighted]
    training: Training | None
    evaluation: Evaluation | None
    licence: Licence | None
    verification: Verification | None
    exports: Sequence[Export] = ()


def card(made_of: Ingredients) -> str:
    """README.md for the model; names folders, never whole paths, since the card may be published."""
    given = made_of.model_name
    name = Path(given).name if Path(given).is_absolute() else given
    adapters = "\n".join(_adapter_line(entry) for entry in made_of.adapters)
    return CARD.format(
        header=_header(name, made_of),
        title=f"{name}, fine-tuned" if made_of.adapters else name,
        name=name,
        base_dtype=made_of.base_dtype,
        adapters=f"{adapters}\n" if adapters else "",
        data=_data(made_of.training),
        dtype=made_of.dtype,
        licence=_licence(made_of.licence),
        training=_training(made_of.training),
        scores=_scores(made_of.evaluation),
        checked=_checked(made_of.verification),
        files=_files(made_of.exports),
    )


CARD = """---
{header}
---

# {title}

## What it is made of

- Base model: `{name}` ({base_dtype})
{adapters}- Training data: {data}
- Number format: {dtype}
- Licence: {licence}

## How it was trained

{training}

## How well it does

{scores}

## How it was checked

{checked}
{files}"""


def _header(name: str, made_of: Ingredients) -> str:
    """The metadata that the model hub reads."""
    from huggingface_hub import EvalResult, ModelCardData

    found = made_of.evaluation
    licence = made_of.licence
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=score.name,
            dataset_name=score.name,
            metric_type=score.metric,
            metric_value=score.finetuned,
        )
        for score in (found.scores if found else ())
    ]
    named: dict[str, Any] = {"model_name": f"{name}, fine-tuned", "eval_results": results} if results else {}
    return ModelCardData(
        base_model=name,
        base_model_relation="finetune" if made_of.adapters else "quantized",
        library_name="transformers" if made_of.adapters else "gguf",
        pipeline_tag="text-generation",
        license=licence.id if licence else None,
        license_name=licence.name if licence and licence.id == "other" else None,
        license_link=licence.link if licence else None,
        tags=["faion-finetuner", *(["merged-adapter"] if made_of.adapters else [])],
        **named,
    ).to_yaml()


def _adapter_line(entry: Weighted) -> str:
    config = entry.adapter.config
    numbers = [f"{key} {config[name]}" for key, name in (("rank", "r"), ("alpha", "lora_alpha")) if config.get(name)]
    facts = ", ".join([str(config.get("peft_type", "adapter")).lower(), *numbers])
    share = "" if entry.weight == 1 else f", weight {entry.weight:g}"
    return f"- Adapter: `{entry.adapter.folder.name}` ({facts}{share})"


def _data(training: Training | None) -> str:
    if training is None:
        return "unknown (the adapter does not lie in the output folder of a train run)"
    data = f"`{training.data_path.name}`" if training.data_path else "gone"
    digest = f", SHA-256 of its rows `{training.data_sha256}`" if training.data_sha256 else ""
    changed = ", changed since" if training.data_path and not training.data_sha256 else ""
    return f"{data}, from run {training.run_id}{digest}{changed}"


def _licence(found: Licence | None) -> str:
    if found is None:
        return "the base model's applies; its folder does not name one."
    return f"{found.name}, inherited from the base model."


def _training(training: Training | None) -> str:
    if training is None:
        return "Unknown."
    used = [name for name in HIGHLIGHTS if name in training.configuration]
    rows = [("technique", training.technique), ("method", training.method)]
    rows += [(name, training.configuration[name]) for name in used]
    rows += [("best validation loss", training.best_val_loss)]
    return table(("Setting", "Value"), [row for row in rows if row[1] is not None]).rstrip()


def _scores(found: Evaluation | None) -> str:
    if found is None or not found.scores:
        return "Not measured: no evaluation of this adapter is known."
    verdict = f" Verdict: {found.verdict}." if found.verdict else ""
    header = ("Data", "Metric", "Base", "Fine-tuned", "95% interval of the difference", "Items")
    return (
        f"On {found.rows} held-out rows of `{found.data}` (run {found.run_id}), against the base model.{verdict}\n\n"
        + table(header, map(_score_row, found.scores)).rstrip()
    )


def _score_row(score: Score) -> tuple[object, ...]:
    unit = "%" if score.metric == "perplexity" else ""
    interval = f"{score.ci95[0]:+.4g}{unit} to {score.ci95[1]:+.4g}{unit}" if score.ci95 else None
    base = None if score.base is None else f"{score.base:.4g}"
    return score.name, score.metric, base, f"{score.finetuned:.4g}", interval, score.n


def _checked(found: Verification | None) -> str:
    if found is None:
        return "Not checked: there was nothing to compare with, or verification was switched off."
    kl, difference = f"{found.mean_kl:.2e} nats", f"{found.max_abs_logit_difference:.2e}"
    return (
        f"Reloaded from disk and compared with base + adapter on {found.prompts} prompts ({found.prompt_source}), "
        f"{found.positions} positions, computed in {found.arithmetic}: mean KL divergence {kl}, largest logit "
        f"difference {difference}, the same likeliest token at {percent(found.greedy_agreement)} of the positions."
    )


def _files(exports: Sequence[Export]) -> str:
    if not exports:
        return ""
    header = ("File", "Size", "Loss (nats a token)", "Same likeliest token as before")
    return "\n## GGUF files\n\n" + table(header, _file_rows(exports))


def _file_rows(exports: Sequence[Export]) -> Iterator[tuple[object, ...]]:
    for export in exports:
        found = export.verification
        loss = None if found is None or found.loss is None else f"{found.loss:.4f} (of {found.merged_loss:.4f})"
        yield export.path.name, bytes_size(export.bytes), loss, percent(found.greedy_agreement if found else None)
