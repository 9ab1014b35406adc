"""Prepared files are read back, and bad lines are named."""

import json
from pathlib import Path

import pytest
from faion_finetuner.core.errors import DataError, PathError
from faion_finetuner.core.examples.files import Prepared, load_prepared, read_examples
from faion_finetuner.core.examples.types import ChatExample, CompletionExample, Message

ROW = {"messages": [{"role": "user", "content": "hi ü"}, {"role": "assistant", "content": "hello"}], "id": 1}
EXAMPLE = ChatExample((Message("user", "hi ü"), Message("assistant", "hello")), {"id": 1})


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_jsonl_json_and_byte_order_marks_are_read(tmp_path: Path):
    line = json.dumps(ROW, ensure_ascii=False)
    assert read_examples(write(tmp_path / "a.jsonl", line, "", line, "")) == [EXAMPLE, EXAMPLE]
    assert read_examples(write(tmp_path / "b.json", json.dumps([ROW, ROW], indent=2))) == [EXAMPLE, EXAMPLE]
    assert read_examples(write(tmp_path / "c.jsonl", "\ufeff" + line + "\r")) == [EXAMPLE]


def test_of_few_rows_none_are_held_back_and_the_rest_is_trained_on(tmp_path: Path):
    write(tmp_path / "train.jsonl", json.dumps(ROW))
    (tmp_path / "valid.jsonl").touch()
    assert load_prepared(tmp_path) == Prepared([EXAMPLE], [], tmp_path / "train.jsonl", None)


def test_a_json_file_of_one_record_is_one_example(tmp_path: Path):
    assert read_examples(write(tmp_path / "a.json", json.dumps(ROW, indent=2))) == [EXAMPLE]


def test_separators_inside_a_text_do_not_end_a_line(tmp_path: Path):
    row = {"prompt": "a\u2028b\u0085c", "completion": "d"}
    found = read_examples(write(tmp_path / "a.jsonl", json.dumps(row, ensure_ascii=False)))
    assert found == [CompletionExample(row["prompt"], row["completion"])]


def test_bad_lines_are_named_by_file_and_line_all_at_once(tmp_path: Path):
    path = write(tmp_path / "train.jsonl", json.dumps(ROW), "{oops", "[1]", '{"a": 1}', "3")
    with pytest.raises(DataError) as caught:
        read_examples(path)
    lines = caught.value.problem.split("\n")
    assert [line.split(": ")[0] for line in lines] == [f"train.jsonl:{number}" for number in (2, 3, 4, 5)]
    assert "not JSON" in lines[0]
    assert "not a JSON object" in lines[1]
    assert "No known record format" in lines[2]


def test_many_bad_lines_are_counted_not_listed(tmp_path: Path):
    with pytest.raises(DataError, match=r"\.\.\. and 95 more"):
        read_examples(write(tmp_path / "train.jsonl", *["x"] * 100))


@pytest.mark.parametrize("content", ["", "\n\n", "[]"])
def test_a_file_without_records_is_refused(content: str, tmp_path: Path):
    with pytest.raises(DataError, match=r"train\.jsonl has no examples"):
        read_examples(write(tmp_path / "train.jsonl", content))


def test_bytes_that_are_not_utf8_are_a_named_line(tmp_path: Path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(json.dumps(ROW).encode() + b'\n{"text": "\xff"}\n')
    with pytest.raises(DataError, match=r"train\.jsonl:2"):
        read_examples(path)


def test_a_broken_list_is_named_with_its_line(tmp_path: Path):
    with pytest.raises(DataError, match=r"a\.json:2: not JSON"):
        read_examples(write(tmp_path / "a.json", "[", "{oops"))


def test_a_prepared_folder_has_train_and_perhaps_valid(tmp_path: Path):
    train = write(tmp_path / "train.jsonl", json.dumps(ROW))
    alone = load_prepared(tmp_path)
    assert (alone.train, alone.valid, alone.train_path, alone.valid_path) == ([EXAMPLE], [], train, None)
    valid = write(tmp_path / "valid.jsonl", json.dumps(ROW), json.dumps(ROW))
    both = load_prepared(tmp_path)
    assert (len(both.train), len(both.valid), both.valid_path) == (1, 2, valid)
    single = load_prepared(valid)
    assert (len(single.train), single.valid, single.train_path) == (2, [], valid)


def test_missing_files_are_path_errors(tmp_path: Path):
    with pytest.raises(PathError, match=r"No train\.jsonl"):
        load_prepared(tmp_path)
    with pytest.raises(PathError, match="does not exist"):
        load_prepared(tmp_path / "nowhere")
    with pytest.raises(PathError, match="does not exist"):
        read_examples(tmp_path / "nowhere.jsonl")


def test_numbers_keep_their_digits_and_what_is_no_number_is_a_bad_line(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", '{"question": "q", "answer": 1.10, "id": 123456789012345678901234567890}')
    (example,) = read_examples(path)
    assert isinstance(example, ChatExample)
    assert (example.messages[1].content, str(example.fields["id"])) == ("1.10", "123456789012345678901234567890")
    with pytest.raises(DataError, match=r"a\.jsonl:1: not JSON"):
        read_examples(write(tmp_path / "a.jsonl", '{"question": "q", "answer": NaN}'))


def test_a_weight_of_zero_is_not_trained_however_it_is_written(tmp_path: Path):
    for weight, trained in (("0", False), ("0.00", False), ("-0", False), ("1.10", True)):
        line = '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": W}]}'
        (example,) = read_examples(write(tmp_path / "a.jsonl", line.replace("W", weight)))
        assert isinstance(example, ChatExample)
        assert example.messages[1].trained is trained
