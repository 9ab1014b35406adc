"""evaluate's likelihoods and answers against a loop over texts and against transformers' own generation, in one run.

    .venv/bin/python -m benchmarks.evaluate.compare > table.md

README.md beside this file says what is compared and how the numbers are taken. The numbers that both sides give are
compared here, too: a difference beyond the tolerance ends the script with an error.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from faion_finetuner.core.evaluate.contestants import BATCH_SIZE
from faion_finetuner.core.evaluate.local.likelihood import measure
from faion_finetuner.core.examples.chat import ChatTokenizer
from faion_finetuner.core.examples.dialects import read_record
from faion_finetuner.core.examples.files import read_examples
from faion_finetuner.core.examples.mask import Tokenized, tokenize_many
from faion_finetuner.core.examples.types import Example
from faion_finetuner.core.models.generate import generate
from faion_finetuner.core.models.load import load_base
from faion_finetuner.core.models.source import local_path, resolve_model
from faion_finetuner.core.settings import Settings
from transformers import GenerationConfig

from benchmarks.train import instructions

MODEL = "smollm2-135m-instruct"
TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2}  # of the mean loss; the loop in bfloat16 has three digits
NEW_TOKENS = 24
THINGS = ("parcel", "invoice", "password", "refund", "charger", "ticket", "address", "account", "screen", "order")
WRONGS = (
    "is late",
    "is wrong",
    "was lost",
    "does not work",
    "cannot be found",
    "came twice",
    "is broken",
    "has changed",
)
LABELS = ("delivery", "billing", "access", "hardware")
GUIDE = "\n".join(
    [
        "You sort messages of customers for the people who answer them. Reply with one word and nothing else.",
        *(f"{label}: the customer writes about {label}, or about something that follows from it." for label in LABELS),
        *(
            f"A message about a {thing} goes to {LABELS[n % 4]} unless it says otherwise."
            for n, thing in enumerate(THINGS)
        ),
    ]
)


@dataclass(frozen=True)
class Timed:
    """One pass."""

    cpu_s: float
    wall_s: float
    result: Any


def timed(work: Callable[[], Any]) -> Timed:
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return Timed(time.process_time() - cpu, time.perf_counter() - wall, result)


def sorting_rows(count: int, guided: bool) -> list[Example]:
    """Short messages with a label; guided: after a system turn that explains the labels."""
    choose = random.Random(1)
    rows = []
    for _ in range(count):
        first, second = (f"{choose.choice(THINGS)} {choose.choice(WRONGS)}" for _ in range(2))
        text = f"My {first} and the {second}."
        turns = [{"role": "user", "content": text}, {"role": "assistant", "content": choose.choice(LABELS)}]
        rows.append({"messages": [*([{"role": "system", "content": GUIDE}] if guided else []), *turns]})
    return [read_record(row) for row in rows]


def instruction_rows(count: int) -> list[Example]:
    with tempfile.TemporaryDirectory() as folder:
        return read_examples(instructions.write(Path(folder) / "rows.jsonl", count, seed=1))


def by_text(model: Any, items: Sequence[Tokenized]) -> list[tuple[float, int]]:
    """The mission's loop, weighted by the tokens that are predicted."""
    found = []
    with torch.no_grad():
        for item in items:
            ids = torch.tensor([item.input_ids])
            found.append((model(input_ids=ids, labels=ids).loss.item() * (ids.shape[1] - 1), ids.shape[1] - 1))
    return found


def likelihood_row(name: str, models: Mapping[str, Any], items: Sequence[Tokenized], rounds: int) -> str:
    """Ours on the weights as they are stored, in 16 bits, against the loop in both arithmetics."""
    loops = {dtype: [timed(lambda model=model: by_text(model, items))] for dtype, model in models.items()}
    ours = [timed(lambda: measure(models["bfloat16"], items))]
    for _ in range(rounds - 1):
        for dtype, model in models.items():
            loops[dtype].append(timed(lambda model=model: by_text(model, items)))
        ours.append(timed(lambda: measure(models["bfloat16"], items)))
    mine = sum(one.all_nll for one in ours[0].result) / sum(one.all_tokens for one in ours[0].result)
    cells = []
    for dtype, done in loops.items():
        theirs = sum(nll for nll, _ in done[0].result) / sum(tokens for _, tokens in done[0].result)
        difference = abs(mine / theirs - 1)
        if difference > TOLERANCE[dtype]:
            raise SystemExit(f"{name}, {dtype}: the mean losses differ by {difference:.1e}.")
        wall, cpu = (
            statistics.median(getattr(loop, of) / getattr(own, of) for loop, own in zip(done, ours, strict=True))
            for of in ("wall_s", "cpu_s")
        )
        cells.append(f"{wall:.1f} | {cpu:.1f} | {difference:.0e}")
    lengths = sorted(len(item.input_ids) for item in items)
    return f"| {name} | {len(items)} | {lengths[0]} to {lengths[-1]} | {' | '.join(cells)} |"


def own_answers(model: Any, tokenizer: ChatTokenizer, prompts: Sequence[str], batch_size: int) -> list[str]:
    """transformers' own greedy generation, padded on the left."""
    config = GenerationConfig(
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        eos_token_id=list(tokenizer.eos_ids),
        pad_token_id=tokenizer.eos_ids[0],
    )
    answers = []
    for start in range(0, len(prompts), batch_size):
        ids = [tokenizer.encode(prompt) for prompt in prompts[start : start + batch_size]]
        width = max(map(len, ids))
        padded = torch.tensor([[tokenizer.eos_ids[0]] * (width - len(one)) + one for one in ids])
        mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in ids])
        made = model.generate(padded, attention_mask=mask, generation_config=config)
        answers += [tokenizer.decode(one) for one in made[:, width:].tolist()]
    return answers


def generation_rows(dtype: str, model: Any, tokenizer: ChatTokenizer, prompts: Sequence[str]) -> list[str]:
    ours = timed(lambda: generate(model, tokenizer, prompts, max_new_tokens=NEW_TOKENS, batch_size=BATCH_SIZE))
    texts = [one.text for one in ours.result]
    rows = []
    for name, size in (("one prompt at a time", 1), ("8 prompts at a time, padded", 8)):
        own = timed(lambda size=size: own_answers(model, tokenizer, prompts, size))
        same = sum(one == other for one, other in zip(texts, own.result, strict=True))
        if dtype == "float32" and same < len(prompts):
            raise SystemExit(f"{name}: {len(prompts) - same} answers differ.")
        rows.append(
            f"| {name} | {dtype} | {len(prompts)} | {own.wall_s / ours.wall_s:.1f} | {own.cpu_s / ours.cpu_s:.1f} | "
            f"{same} of {len(prompts)} |"
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--data", type=Path, nargs="*", default=(), help="files of rows, measured as well")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    settings = Settings.from_environment()
    folder = local_path(resolve_model(MODEL, settings), settings)
    tokenizer = ChatTokenizer.load(folder)
    kinds = {
        "lists, mixed lengths": instruction_rows(arguments.rows // 3),
        "short messages": sorting_rows(arguments.rows, guided=False),
        "short messages, one long system turn": sorting_rows(arguments.rows, guided=True),
        **{path.name: random.Random(1).sample(read_examples(path), arguments.rows) for path in arguments.data},
    }
    models = {dtype: load_base(folder, dtype=dtype, settings=settings) for dtype in TOLERANCE}
    likelihoods = []
    for name, examples in kinds.items():
        likelihoods.append(likelihood_row(name, models, tokenize_many(examples, tokenizer, None), arguments.rounds))
        sys.stderr.write(f"{likelihoods[-1]}\n")
    prompts = [tokenizer.prompt(example) for example in kinds["short messages"][:32]]
    generations = [row for dtype, model in models.items() for row in generation_rows(dtype, model, tokenizer, prompts)]
    lines = [
        "| rows | texts | tokens each | float32, wall | CPU | loss differs | bfloat16, wall | CPU | loss differs |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|", *likelihoods, "",
        "| plain generation | arithmetic | prompts | faster, wall | faster, CPU | same answers |",
        "|---|---|--:|--:|--:|--:|", *generations,
    ]  # fmt: skip
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
