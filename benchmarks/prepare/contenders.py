"""Who is compared: how each is called, and which of faion-finetuner's checks it does."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent / "rivals"

CHECKS = (
    "a bad line is one bad line",
    "encoding found",
    "empty and placeholder answers",
    "text repaired",
    "exact duplicates",
    "near duplicates",
    "similarity of near duplicates verified",
    "personal data",
    "secrets",
    "language",
    "tokens, exact",
    "tokens lost to truncation",
    "loss mask of all rows",
    "chat template round trip",
    "converted to chat",
    "split",
    "split cannot leak",
    "every change in a ledger, undo",
    "report to read",
)
"""What the whole of `prepare` does, in the order of the run."""

MODEL_CHECKS = {"tokens, exact", "loss mask of all rows", "chat template round trip"}


@dataclass(frozen=True)
class Work:
    """What is to be done, the same for all."""

    rows: Path
    output: Path
    model: Path
    processes: int


@dataclass(frozen=True)
class Contender:
    """One way to prepare the rows."""

    name: str

    program: Path
    """What runs in its environment; a contender whose program is not there is absent."""

    arguments: Callable[[Work], list[str | Path]]

    does: frozenset[str]
    """Those of CHECKS that it carries out in this comparison."""

    written: tuple[str, ...] = ()
    """Files with the rows that it keeps, below its output folder."""

    environment: dict[str, str] = field(default_factory=dict)

    most_rows: int | None = None
    """It gets no more rows than these, for its time grows faster than they do."""

    def command(self, work: Work) -> list[str]:
        """Its command line."""
        return [str(part) for part in (self.program, *self.arguments(work))]


def contenders(own: Path, rivals: Path) -> list[Contender]:
    """All of them: our own in the environment whose programs lie in `own`, then the others."""
    return [*_own(own / "faion-finetuner"), _datasets(own / "python"), *_rivals(rivals.absolute())]


def prepare(*options: str, model: bool = True) -> Callable[[Work], list[str | Path]]:
    """Our own command line, by default with every check."""

    def arguments(work: Work) -> list[str | Path]:
        named = ["--model-name", work.model] if model else []
        return ["prepare", work.rows, "--output-dir", work.output, "--max-length=512", *named, *options]

    return arguments


def _own(program: Path) -> list[Contender]:

    written = ("train.jsonl", "valid.jsonl")
    everything = frozenset(CHECKS)
    less = everything - {"near duplicates", "similarity of near duplicates verified", "personal data", "secrets"}
    return [
        Contender("faion-finetuner", program, prepare(), everything, written),
        Contender("faion-finetuner without a model", program, prepare(model=False), everything - MODEL_CHECKS, written),
        Contender("faion-finetuner, fewer checks", program, prepare("--dedup=exact", "--pii=off"), less, written),
    ]


def _script(name: str, *more: str) -> Callable[[Work], list[str | Path]]:
    return lambda work: [HERE / name, work.rows, work.output, work.model, str(work.processes), *more]


def _datasets(python: Path) -> Contender:
    does = {"empty and placeholder answers", "exact duplicates", "tokens, exact", "converted to chat", "split"}
    return Contender(
        "a plain `datasets` script",
        python,
        _script("with_datasets.py"),
        frozenset(does),
        ("train.jsonl", "valid.jsonl"),
    )


def _rivals(folder: Path) -> list[Contender]:
    basics = {"empty and placeholder answers", "exact duplicates", "near duplicates"}
    hides = {"personal data", "secrets", "text repaired"}
    return [
        Contender(
            "data-juicer 1.6.1",
            folder / "data_juicer/bin/dj-process",
            _data_juicer,
            frozenset(basics | hides | {"language", "tokens, exact"}),
            ("data.jsonl",),
            {"DATA_JUICER_MODELS_CACHE": str(folder / "data_juicer/models")},
        ),
        Contender(
            "cleanllm 4.0.0",
            folder / "cleanllm/bin/python",
            _script("with_cleanllm.py"),
            frozenset(basics | hides | {"a bad line is one bad line", "converted to chat", "split"}),
            ("split/data_train.jsonl", "split/data_val.jsonl"),
        ),
        Contender(
            "modelbrew-cleaner 0.1.0, checks only",
            folder / "modelbrew/bin/python",
            _script("with_modelbrew.py"),
            frozenset({"empty and placeholder answers", "exact duplicates", "personal data", "converted to chat"}),
            ("data.jsonl",),
        ),
        Contender(
            "modelbrew-cleaner 0.1.0 + datasketch, langdetect, repairs",
            folder / "modelbrew_full/bin/python",
            _script("with_modelbrew.py", "repair"),
            frozenset(basics | hides | {"similarity of near duplicates verified", "language", "converted to chat"}),
            ("data.jsonl",),
            most_rows=4_000,
        ),
        Contender(
            "finelint 0.2.0",
            folder / "finelint/bin/finelint",
            _finelint,
            frozenset(basics | {"a bad line is one bad line", "similarity of near duplicates verified"}),
            most_rows=10_000,
        ),
    ]


def _data_juicer(work: Work) -> list[str | Path]:
    return [
        *("--config", HERE / "data_juicer.yaml"),  # it takes no --name=value
        *("--dataset_path", work.rows),
        *("--export_path", work.output / "data.jsonl"),
        *("--np", str(work.processes)),
        *("--token_num_filter.hf_tokenizer", work.model),
    ]


def _finelint(work: Work) -> list[str | Path]:
    report, affected = work.output / "report.json", work.output / "affected.json"
    options = ["--schema=alpaca", "--similarity-threshold=0.8", f"--report={report}", f"--affected-records={affected}"]
    return ["inspect", work.rows, *options]


def empty_caches(home: Path) -> dict[str, str]:
    """An environment in which nothing is left of earlier runs, and nobody reaches for the network."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    offline = {"HF_HUB_OFFLINE": "1", "PIP_NO_INDEX": "1", "UV_OFFLINE": "1"}
    return kept | offline | {"HOME": str(home), "TMPDIR": str(home)}
