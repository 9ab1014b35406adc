"""How far the estimated memory of a training is from the measured peak, over a grid of sizes.

Run: python benchmarks/train/memory.py [--quick]

Each case is a process of its own: a random Llama of the case's shape, rows of the case's length; the estimate as
`train` makes it before a model is loaded, then the rehearsal of the worst batch (forward, backward, optimizer, a
save), whose peak is the resident memory of the process. Prints a Markdown table, and the error of the peak without
what the process takes anyway, since that part needs no estimating.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

ROWS = 16


@dataclass(frozen=True)
class Case:
    """One point of the grid."""

    technique: str
    batch: int
    length: int
    vocabulary: int
    hidden: int = 512
    layers: int = 8
    checkpointing: bool = False
    packing: bool = False


GRID = (
    Case("lora", 1, 512, 8_000),
    Case("lora", 4, 128, 8_000),
    Case("lora", 4, 512, 8_000),
    Case("lora", 8, 512, 8_000),
    Case("lora", 1, 2048, 8_000),
    Case("lora", 4, 1024, 8_000),
    Case("lora", 4, 512, 64_000),
    Case("lora", 4, 512, 128_000),
    Case("lora", 4, 1024, 64_000, checkpointing=True),
    Case("lora", 4, 512, 8_000, hidden=1024),
    Case("lora", 4, 512, 8_000, layers=24),
    Case("lora", 2, 1024, 32_000, packing=True),
    Case("qlora", 1, 512, 32_000, hidden=1024),
    Case("qlora", 4, 512, 32_000, hidden=1024),
    Case("qlora", 4, 1024, 32_000, checkpointing=True),
    Case("full", 1, 128, 8_000),
    Case("full", 4, 512, 8_000),
    Case("full", 4, 512, 64_000),
    Case("full", 4, 1024, 32_000, checkpointing=True),
)
QUICK = tuple(GRID[place] for place in (1, 2, 6, 12, 16))


def main() -> None:
    """Measure the grid and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="five cases")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        _say(json.dumps(measure(Case(**json.loads(given.case)))))
        return
    cases = QUICK if given.quick else GRID
    _say("| technique | batch x length | vocabulary | hidden x layers | | estimated, GB | measured, GB | error |")
    _say("|---|---|---|---|---|---|---|---|")
    found = [_line(case, _in_a_process(case)) for case in cases]
    errors = [abs(own) for _, own in found]
    totals = [abs(total) for total, _ in found]
    _say(f"\nMean error of the training's own memory {fmean(errors):.1%}, largest {max(errors):.1%};")
    _say(f"of the whole process {fmean(totals):.1%}, largest {max(totals):.1%}; {len(cases)} cases.")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _in_a_process(case: Case) -> dict[str, float]:
    command = [sys.executable, __file__, "--case", json.dumps(asdict(case))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def _line(case: Case, found: dict[str, float]) -> tuple[float, float]:
    estimated, measured, process = found["estimated"], found["measured"], found["process"]
    total, own = estimated / measured - 1, (estimated - process) / (measured - process) - 1
    how = "checkpointing" if case.checkpointing else "packed" if case.packing else ""
    _say(
        f"| {case.technique} | {case.batch} x {case.length} | {case.vocabulary:,} | {case.hidden} x {case.layers} "
        f"| {how} | {(estimated - process) / 1e9:.3f} | {(measured - process) / 1e9:.3f} | {own:+.1%} |"
    )
    return total, own


def measure(case: Case) -> dict[str, float]:
    """Bytes: estimated and measured peak, and what the process had before."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        os.environ["FAION_FINETUNER_ROOTS"] = str(root)
        _model(root / "model", case)
        _rows(root / "rows.jsonl", case)
        from faion_finetuner.core.runs.active import ActiveRun
        from faion_finetuner.core.runs.record import RunFolder, RunStatus, now
        from faion_finetuner.core.settings import Settings
        from faion_finetuner.core.train.engine import make_trainer
        from faion_finetuner.core.train.rehearsal import rehearse_alone
        from faion_finetuner.core.train.request import TrainRequest, resolve
        from faion_finetuner.core.train.settle import settle_job

        numbers = {
            "batch_size": case.batch,
            "gradient_accumulation": 2,
            "max_seq_length": case.length,
            "packing": case.packing,
            "gradient_checkpointing": case.checkpointing,
        }
        asked = {"data_path": "rows.jsonl", "model_name": "model", "output_dir": "out", "technique": case.technique}
        request = resolve(
            TrainRequest.model_validate(asked | {"hyperparameters": numbers}), Settings.from_environment()
        )
        folder = RunFolder(path=root / "run")
        folder.path.mkdir()
        folder.write_status(RunStatus(status="running", launched_at=now()))
        job = settle_job(request, ActiveRun(folder, request.output_dir))
        footprint = job.setup.estimate.footprint
        found = rehearse_alone(make_trainer(job, root / "checkpoints"), root / "checkpoint")
    return {"estimated": footprint.total, "measured": found.rehearsal.peak_bytes or 0, "process": footprint.process}


def _model(folder: Path, case: Case) -> None:
    """A random Llama with a tokenizer of words, written by another process, so that this one's memory starts low."""
    command = [sys.executable, "-c", MODEL, str(folder), json.dumps(asdict(case))]
    subprocess.run(command, check=True, capture_output=True)


MODEL = """
import json, sys
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

folder, case = sys.argv[1], json.loads(sys.argv[2])
words = {"<|end|>": 0, "<unk>": 1} | {f"w{n}": n for n in range(2, 1000)}
raw = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
template = "{% for m in messages %}{{ m['content'] }} <|end|> {% endfor %}"
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=raw, eos_token="<|end|>", pad_token="<|end|>", unk_token="<unk>", chat_template=template
)
tokenizer.save_pretrained(folder)
hidden = case["hidden"]
config = LlamaConfig(
    vocab_size=case["vocabulary"], hidden_size=hidden, intermediate_size=hidden * 8 // 3 // 64 * 64,
    num_hidden_layers=case["layers"], num_attention_heads=hidden // 64, num_key_value_heads=hidden // 256,
    max_position_embeddings=4096, tie_word_embeddings=True, eos_token_id=0, pad_token_id=0, bos_token_id=None,
)
LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
"""


def _rows(path: Path, case: Case) -> None:
    """Rows of the case's length, half of each an answer."""
    half = case.length // 2 - 2
    words = " ".join(f"w{2 + n % 900}" for n in range(half))
    row = {"messages": [{"role": "user", "content": words}, {"role": "assistant", "content": words}]}
    path.write_text("".join(json.dumps(row | {"id": n}) + "\n" for n in range(ROWS)), encoding="utf-8")


if __name__ == "__main__":
    main()
