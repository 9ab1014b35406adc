"""Ready lm-eval tasks for published data lying about: lm-eval's own prompts and metrics over the rows of a folder.

Each task file includes the one that lm-eval brings and changes nothing but where the rows come from, so that its
scores are those of lm-eval's task over the same rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from ... import extras, files
from ...errors import DataError, InputError
from .published import SHOWN_FILES, UNNAMED, Published, Rows, Source
from .table_files import Row

ASKED = ("test", "validation", UNNAMED, "dev", "train")
EXAMPLES = ("train", "dev", "validation")
MMLU = "mmlu"
ARC = frozenset(["easy", "challenge"])
TAGS = {"truthfulqa": ("truthfulqa_mc1", "truthfulqa_mc2", "truthfulqa_gen"), "ai2_arc": ("arc_easy", "arc_challenge")}
"""Names by which lm-eval knows several tasks at once."""


@dataclass(frozen=True)
class Kind:
    """A benchmark for which a task can be made."""

    file: str
    """lm-eval's own task file, below its folder of tasks."""
    benchmark: str
    words: frozenset[str] = frozenset()
    """What a file's path must say."""
    asked: tuple[str, ...] = ASKED
    """Splits whose rows are asked, the first that there is."""
    examples: tuple[str, ...] = EXAMPLES
    """Splits that few-shot examples come from; none where the task brings its own."""
    asked_as: str = "test"
    """What lm-eval's task calls the split that is asked ..."""
    examples_as: str = "train"
    """... and the one that examples come from."""


KINDS = {
    "arc_easy": Kind("arc/arc_easy.yaml", "arc", frozenset(["easy"])),
    "arc_challenge": Kind("arc/arc_challenge.yaml", "arc", frozenset(["challenge"])),
    "gsm8k": Kind("gsm8k/gsm8k.yaml", "gsm8k"),
    "gsm8k_cot": Kind("gsm8k/gsm8k-cot.yaml", "gsm8k", examples=()),
    "hellaswag": Kind(
        "hellaswag/hellaswag.yaml",
        "hellaswag",
        asked=("validation", UNNAMED, "test", "dev", "train"),  # the published test rows hide their answers
        asked_as="validation",
    ),
    "truthfulqa_mc1": Kind("truthfulqa/truthfulqa_mc1.yaml", "truthfulqa_mc", asked_as="validation"),
    "truthfulqa_mc2": Kind("truthfulqa/truthfulqa_mc2.yaml", "truthfulqa_mc", asked_as="validation"),
    "truthfulqa_gen": Kind("truthfulqa/truthfulqa_gen.yaml", "truthfulqa_gen", asked_as="validation"),
}


@dataclass(frozen=True)
class Data:
    """What one task asks."""

    file: str
    examples: str | None
    """The file of its few-shot examples; None where there is none."""
    own_examples: bool
    """Whether lm-eval's task brings its examples itself."""
    unanswered: int = 0
    """Rows of the file that are not asked, since they tell no right answer."""


def make(names: Sequence[str], benchmarks_dir: Path, folder: Path, cache: Path) -> dict[str, Data]:
    """Task files in `folder` for the names whose data lies in `benchmarks_dir`; the others are left to lm-eval.

    Args:
        names: Tasks, groups or tags.
        benchmarks_dir: Published data files, at any depth.
        folder: For the task files and their rows.
        cache: For the datasets library, so that the user's own is left alone.

    Returns:
        What was made, by the task's name; a group's members, not the group.

    Raises:
        InputError: A file was not recognised though a known benchmark's data is missing, or several files serve.
        DataError: A file cannot be read.
    """
    tasks = Path(str(extras.require("lm_eval.tasks", "Benchmarks").__file__)).parent
    kinds = KINDS | _subjects(tasks)
    wanted = [name for name in names if name in kinds or name in TAGS or _group_file(name, tasks).is_file()]
    if not wanted:
        return {}
    maker = _Maker(Published(benchmarks_dir), tasks, _Places(folder, cache), kinds)
    for name in wanted:
        maker.make(name)
    return maker.made


def _subjects(tasks: Path) -> dict[str, Kind]:
    """A kind for each subject of MMLU; the path must have all words of the subject."""
    return {
        path.stem: Kind(
            f"mmlu/default/{path.name}",
            MMLU,
            frozenset(path.stem.removeprefix("mmlu_").split("_")),
            examples=("dev", "validation", "train"),
            examples_as="dev",
        )
        for path in sorted(tasks.glob("mmlu/default/mmlu_*.yaml"))
    }


def _group_file(name: str, tasks: Path) -> Path:
    """Where lm-eval defines MMLU or a part of it."""
    return tasks / "mmlu" / "default" / f"_{name}.yaml"


def _splits(kind: Kind, has_examples: bool) -> dict[str, str | None]:
    """What must be said of the splits beyond lm-eval's own task: no other than those that lie there."""
    if has_examples:
        return {} if kind.asked_as == "validation" else {"validation_split": None}
    only = {"training_split": None, "validation_split": None, "test_split": kind.asked_as}
    # from the same split; lm-eval then leaves out the row that is asked, but only where it is the test split
    return only | ({"fewshot_split": kind.asked_as} if kind.examples else {})


class _Places(NamedTuple):
    folder: Path
    cache: Path


class _Maker:
    """Writes task files for what one folder holds."""

    def __init__(self, published: Published, tasks: Path, places: _Places, kinds: dict[str, Kind]) -> None:
        self.published, self.tasks, self.kinds = published, tasks, kinds
        self.folder, self.cache = places
        self.made: dict[str, Data] = {}

    def make(self, name: str) -> None:
        """Write the task files that a name stands for, or refuse."""
        if name in self.kinds or name in TAGS:
            found = [self._task(one) for one in TAGS.get(name, (name,))]
        else:
            found = [self._group(name)]
        if not any(found):
            self._refuse(name)

    def _refuse(self, name: str) -> None:
        """Say what lies there where it may have been meant; a folder that holds other benchmarks' data is fine."""
        arc = [str(s.files[0]) for s in self.published.sources if s.shape.benchmark == "arc" and not s.words & ARC]
        if arc and name in (*TAGS["ai2_arc"], "ai2_arc"):
            raise InputError(
                f"'{arc[0]}' holds rows of ARC, but its path does not say which.",
                "Name the file or its folder arc_easy or arc_challenge.",
            )
        if self.published.strange:
            raise InputError(
                f"benchmarks_dir '{self.published.folder}' holds no data recognised as {name}. "
                f"Not recognised: {'; '.join(self.published.strange[:SHOWN_FILES])}.",
                "Give the file as published (JSONL, CSV or Parquet with its own columns) or an lm-eval task file for "
                "it, or leave benchmarks_dir out to take the data from the hub.",
            )

    def _task(self, name: str) -> bool:
        """Whether the data of one task lies there; then its file is written."""
        kind = self.kinds[name]
        source = self.published.find(kind.benchmark, kind.asked, kind.words)
        if source is None:
            return self._mixed([name]) if kind.benchmark == MMLU else False
        splits = [split for split in kind.examples if split != source.split]
        examples = self.published.find(kind.benchmark, splits, kind.words)
        self._write(name, source, source.rows(), examples, examples.rows().answered if examples else [])
        return True

    def _group(self, name: str) -> bool:
        """MMLU or a part of it, over the subjects that lie there."""
        yaml = extras.require("yaml", "Benchmarks")
        tags = {
            subject: yaml.safe_load((self.tasks / kind.file).read_text(encoding="utf-8"))["tag"]
            for subject, kind in self.kinds.items()
            if kind.benchmark == MMLU
        }
        members = [subject for subject, tag in tags.items() if name in (MMLU, tag.removesuffix("_tasks"))]
        for member in members:
            if self.published.find(MMLU, ASKED, self.kinds[member].words):
                self._task(member)
        if not self.made.keys() & set(members):
            self._mixed(members)
        groups = sorted({tags[one].removesuffix("_tasks") for one in members if one in self.made})
        for group in groups:
            self._save(group, {"include": str(_group_file(group, self.tasks))})
        if groups and name == MMLU:
            self._save(MMLU, {"include": str(_group_file(MMLU, self.tasks)), "task": groups})
        return bool(groups)

    def _mixed(self, members: list[str]) -> bool:
        """From a file whose rows name their subjects, as MMLU's `all` does."""
        of_one_subject = [kind.words for kind in self.kinds.values() if kind.benchmark == MMLU]
        source = self.published.find(MMLU, ASKED, without=of_one_subject)
        if source is None:
            return False
        asked = source.rows_by_subject()
        splits = [split for split in self.kinds[members[0]].examples if split != source.split]
        examples = self.published.find(MMLU, splits, without=of_one_subject)
        shown = examples.rows_by_subject() if examples else {}
        for name in members:
            subject = name.removeprefix("mmlu_")
            if subject in asked:
                self._write(name, source, asked[subject], examples, shown.get(subject, Rows()).answered)
        return any(name in self.made for name in members)

    def _write(self, name: str, source: Source, rows: Rows, examples: Source | None, shown: list[Row]) -> None:
        if not rows.answered:
            raise DataError(
                f"'{source.files[0]}' holds no row with a right answer for {name}.",
                "Give the split that has answers; the test rows of some benchmarks are published without.",
            )
        kind = self.kinds[name]
        data_files = {kind.asked_as: self._rows(f"{name}.jsonl", rows.answered)}
        if shown:
            data_files[kind.examples_as] = self._rows(f"{name}-examples.jsonl", shown)
        task = {
            "include": str(self.tasks / kind.file),
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": data_files, "cache_dir": str(self.cache)},
            **_splits(kind, bool(shown)),
        }
        self._save(name, task)
        shown_from = examples.name if examples and shown else None
        self.made[name] = Data(source.name, shown_from, not kind.examples, rows.unanswered)

    def _save(self, name: str, task: dict[str, Any]) -> None:
        yaml = extras.require("yaml", "Benchmarks")
        files.write_text(self.folder / f"{name}.yaml", yaml.safe_dump(task, sort_keys=False))

    def _rows(self, name: str, rows: list[Row]) -> str:
        path = self.folder / "data" / name
        with files.atomic_writer(path) as file:
            file.writelines(orjson.dumps(row) + b"\n" for row in rows)
        return str(path)
