"""The readers on what no test thought of: nothing crashes them, and nothing is lost or told twice."""

import json

import pytest
from faion_finetuner.core import lossless_json
from faion_finetuner.core.errors import FinetunerError
from faion_finetuner.core.prepare.read import look, rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

quick = settings(
    deadline=None,
    max_examples=150,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SIGNS = st.text(st.sampled_from("{}[],:\"\\'ab01.-e \n\r\té#;|"), max_size=120)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), min_size=2, max_size=6)
NUMBERS = st.from_regex(r"-?(?:0|[1-9][0-9]{0,40})(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,4})?", fullmatch=True)


def read(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    return list(rows(look(path)))


@pytest.mark.parametrize(
    "name", ["a.json", "a.jsonl", "a.csv", "a.tsv", "a.txt", "a.parquet", "a.jsonl.gz", "a.csv.zst"]
)
@quick
@given(content=st.binary(max_size=300) | SIGNS.map(str.encode))
def test_no_bytes_crash_a_reader(tmp_path, name, content):
    try:
        found = read(tmp_path, name, content)
    except FinetunerError:
        return
    assert all((one.record is None) == (one.problem is not None) for one in found)


@pytest.mark.parametrize("start", [b"PAR1", b"ARROW1\0\0", b"\xff\xff\xff\xff\x10\0\0\0"])
@settings(quick, max_examples=30)
@given(content=st.binary(max_size=300))
def test_a_table_of_noise_is_a_clear_error(tmp_path, start, content):
    with pytest.raises(FinetunerError):
        read(tmp_path, "a.bin", start + content)


@quick
@given(lines=st.lists(SIGNS.map(lambda text: text.replace("\n", " ").replace("\r", " ")), max_size=12))
def test_every_filled_line_of_json_lines_comes_out_once_and_as_it_was(tmp_path, lines):
    content = '{"first": 1}\n' + "\n".join(lines)
    found = read(tmp_path, "a.jsonl", content.encode())
    filled = [(i, line.encode()) for i, line in enumerate(content.split("\n"), start=1) if line.strip()]
    assert [(one.line, one.raw) for one in found] == filled


@quick
@given(records=RECORDS, layout=st.sampled_from(["list", "pretty", "lines", "one after another", "held"]))
def test_valid_json_of_any_layout_gives_its_records(tmp_path, records, layout):
    records = [{"first": i, **record} for i, record in enumerate(records)]
    written = {
        "list": json.dumps(records),
        "pretty": json.dumps(records, indent=2, ensure_ascii=False),
        "lines": "\n".join(map(json.dumps, records)),
        "one after another": "\n".join(json.dumps(record, indent=1) for record in records),
        "held": json.dumps({"about": {"n": [1]}, "rows": records}),
    }
    found = read(tmp_path, "a.json", written[layout].encode())
    assert [json.loads(lossless_json.dumps(one.record)) for one in found] == records


@quick
@given(records=RECORDS, cut=st.floats(0, 1), noise=st.sampled_from(["", '"', "}", "{", ",", "]", "x"]))
def test_a_damaged_json_file_keeps_what_stands_before_the_damage(tmp_path, records, cut, noise):
    texts = [json.dumps({"first": i, **record}) for i, record in enumerate(records)]
    whole = "[" + ", ".join(texts) + "]"
    place = int(cut * len(whole))
    found = read(tmp_path, "a.json", (whole[:place] + noise + whole[place:]).encode())
    ends = [sum(len(text) + 2 for text in texts[: i + 1]) for i in range(len(texts))]  # of the comma after each
    intact = sum(end < place for end in ends)
    assert [one.raw.decode() for one in found[:intact]] == texts[:intact]


@quick
@given(
    cells=st.lists(st.lists(st.text(st.sampled_from("ab \",\n'é"), max_size=6), min_size=3, max_size=3), max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_a_properly_quoted_csv_comes_back_cell_by_cell(tmp_path, cells, end):
    rows_in = [["id", "question", "answer"], *([f"i{i}", *row] for i, row in enumerate(cells, start=100))]
    rows_in = [row[:3] for row in rows_in]
    text = end.join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows_in) + end
    found = read(tmp_path, "a.csv", text.encode())
    assert [list((one.record or {}).values()) for one in found] == rows_in[1:]


@quick
@given(content=SIGNS)
def test_every_record_of_a_csv_comes_out_once_in_order(tmp_path, content):
    lines = ["question,answer", "a,b", *content.split("\n")]
    found = read(tmp_path, "a.csv", "\n".join(lines).encode())
    kept = b"".join(one.raw for one in found).translate(None, b"\r\n\t ")
    assert b"".join("".join(lines).encode().split()).endswith(kept)
    assert [one.line for one in found] == sorted({one.line for one in found})


@quick
@given(numbers=st.lists(NUMBERS, min_size=1, max_size=5))
def test_numbers_are_written_as_they_were_read(numbers):
    text = ("[" + ",".join(numbers) + "]").encode()
    assert lossless_json.dumps(lossless_json.loads(text)) == text


@quick
@given(value=VALUES)
def test_lossless_json_agrees_with_the_standard_library(value):
    text = json.dumps(value, ensure_ascii=False)
    assert json.loads(lossless_json.dumps(lossless_json.loads(text.encode()))) == value
