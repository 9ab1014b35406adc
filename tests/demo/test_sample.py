"""The demo's sample: reproducible, learnable, and as messy as it says."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from faion_finetuner.core.personal.patterns import find
from faion_finetuner.core.prepare import mode as prepare
from faion_finetuner.core.prepare.pipeline import run as run_prepare
from faion_finetuner.core.runs.active import ActiveRun
from faion_finetuner.core.runs.record import RunFolder, RunStatus, now
from faion_finetuner.core.settings import Settings
from faion_finetuner.server.demo.phrases import INTENTS, PRODUCTS
from faion_finetuner.server.demo.sample import AGAIN, HYPERPARAMETERS, INSTRUCTION, PLACEHOLDERS, write_sample

Raw = dict[str, str]


def read(path: Path) -> list[Raw]:
    """The rows that are JSON."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def answered(rows: list[Raw]) -> list[Raw]:
    """The rows with a message and a real record."""
    return [row for row in rows if row["input"] and row["output"].startswith("{")]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        write_sample(tmp_path / name, seed=seed)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


@pytest.mark.parametrize("rows", [100, 400, 1000])
def test_the_truth_counts_what_lies_in_the_file(tmp_path: Path, rows: int):
    path = tmp_path / "raw.jsonl"
    truth = write_sample(path, rows=rows)
    parsed = read(path)
    assert len(path.read_text(encoding="utf-8").splitlines()) == truth.lines == rows
    assert rows - len(parsed) == truth.bad_json == 1
    assert sum(not row["output"].strip() or not row["input"] + row["instruction"] for row in parsed) == truth.empty
    assert sum(row["output"] in PLACEHOLDERS for row in parsed) == truth.placeholders
    assert sum(row["instruction"] != INSTRUCTION and bool(row["instruction"]) for row in parsed) == truth.too_short
    times = Counter(json.dumps(row) for row in answered(parsed))
    assert sum(times.values()) - len(times) == truth.exact_duplicates
    messages = {row["input"] for row in parsed}
    assert sum(f"{message} {AGAIN}" in messages for message in messages) == truth.near_duplicates
    assert sum("Ã" in row["input"] for row in answered(parsed)) == truth.mojibake
    assert truth.usable == len(times) - truth.near_duplicates


def test_every_piece_of_personal_data_is_one_that_a_redactor_finds_and_no_order_number_is(tmp_path: Path):
    truth = write_sample(tmp_path / "raw.jsonl")
    kinds: Counter[str] = Counter()
    for row in read(tmp_path / "raw.jsonl"):
        kinds.update(span.kind for span in find(row["input"]))
        assert not find(row["output"])
    planted = {"EMAIL": truth.emails, "PHONE": truth.phone_numbers, "CARD": truth.card_numbers}
    assert kinds == planted
    assert truth.personal_data == sum(planted.values())


def test_personal_data_lies_in_ranges_reserved_for_examples(tmp_path: Path):
    write_sample(tmp_path / "raw.jsonl", rows=1000)
    text = (tmp_path / "raw.jsonl").read_text(encoding="utf-8")
    assert set(re.findall(r"@([\w.]+\w)", text)) <= {"example.com", "example.org", "example.net"}
    phones = re.findall(r"\+1 [\d-]+|\b020 \d{4} \d{4}", text)
    assert phones
    assert all(re.fullmatch(r"\+1 \d{3}-555-01\d\d|020 7946 0\d{3}", phone) for phone in phones)


def test_every_record_can_be_read_from_its_message(tmp_path: Path):
    write_sample(tmp_path / "raw.jsonl")
    for row in answered(read(tmp_path / "raw.jsonl")):
        record = json.loads(row["output"])
        assert list(record) == ["intent", "product", "order", "urgent"]
        assert record["intent"] == row["category"]
        assert record["intent"] in INTENTS
        assert record["product"] in PRODUCTS
        assert record["product"] in row["input"]
        numbers = re.findall(r"\b[A-Z]-\d{4}\b", row["input"])
        assert numbers == ([record["order"]] if record["order"] else [])
        assert "{" not in row["input"]


def test_held_out_rows_are_no_near_copies_of_other_rows(tmp_path: Path):
    write_sample(tmp_path / "raw.jsonl")
    rows = [row["input"] for row in answered(read(tmp_path / "raw.jsonl")) if not row["input"].endswith(AGAIN)]
    shingled = [{row[i : i + 5] for i in range(len(row) - 4)} for row in dict.fromkeys(rows)]
    held_out, rest = shingled[:36], shingled[36:]
    nearest = [max(len(row & other) / len(row | other) for other in rest) for row in held_out]
    assert max(nearest) < 0.6


def test_prepare_finds_exactly_what_was_planted(settings: Settings):
    truth = write_sample(settings.roots[0] / "raw.jsonl")
    request = prepare.MODE.resolve(
        prepare.MODE.request(data_path="raw.jsonl", output_dir=Path("data"), min_length=20), settings
    )
    folder = RunFolder(path=settings.roots[0] / "data" / ".run" / "prepare-test")
    folder.path.mkdir(parents=True)
    folder.write_status(RunStatus(status="running", launched_at=now()))
    result = run_prepare(request, ActiveRun(folder, request.output_dir))
    assert result.source.rows_read == truth.lines
    assert result.duplicates_removed == truth.exact_duplicates
    assert result.near_duplicates_removed == truth.near_duplicates
    dropped = result.dropped_by_reason
    assert dropped["invalid_json"] == truth.bad_json
    assert dropped["empty_answer"] + dropped["empty_prompt"] == truth.empty
    assert dropped["too_short"] == truth.too_short
    assert result.changed_by_rule["mojibake"] == truth.mojibake
    assert result.changed_by_rule["personal_data"] == truth.personal_data


def test_a_sample_too_small_for_every_fault_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="at least 100"):
        write_sample(tmp_path / "raw.jsonl", rows=99)


def test_the_demos_hyperparameters_are_ones_that_train_knows():
    from faion_finetuner.core.train.request import TrainRequest

    TrainRequest.model_validate(
        {"data_path": "x", "model_name": "y", "output_dir": "z", "hyperparameters": HYPERPARAMETERS}
    )
