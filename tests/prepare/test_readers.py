"""The readers alone: what each makes of regular, odd and broken files."""

import bz2
import datetime
import decimal
import gzip
import json
import lzma
import pickle

import polars as pl
import pytest
import zstandard
from faion_finetuner.core.errors import DataError
from faion_finetuner.core.prepare.csv_records import Dialect
from faion_finetuner.core.prepare.encoding import detect
from faion_finetuner.core.prepare.read import look, parse, pieces, rows


def read(tmp_path, name, content):
    """What the readers find in a file of this content."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(rows(look(path)))


def good(found):
    return [one.record for one in found if one.record is not None]


def bad(found):
    return [(one.line, one.raw, one.problem) for one in found if one.record is None]


def dialect(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_text(content)
    found = look(path).dialect
    assert isinstance(found, Dialect)
    return found


# JSON Lines and whole JSON


def test_a_file_that_was_looked_at_travels_to_a_worker_cheaply_and_parses_there(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("question,answer\na,b\n")
    sent = pickle.dumps(look(path))
    assert len(sent) < 1000
    file = pickle.loads(sent)
    [piece] = pieces(file)
    assert parse(file, pickle.loads(pickle.dumps(piece))).record == {"question": "a", "answer": "b"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_lines_may_end_in_any_way_even_in_one_file(tmp_path, end):
    content = f'{{"a": 1}}{end}{{"a": 2}}\n{{"a": 3}}\r\n{{"a": 4}}'
    assert good(read(tmp_path, "a.jsonl", content)) == [{"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}]


@pytest.mark.parametrize(
    "line", ['{"a": 1,}', "{'a': 1}", '{"a": NaN}', '{"a": 01}', '{"a": "\\ud800"}', '{"a"}', "oops"]
)
def test_a_line_that_is_no_json_is_one_bad_row_with_its_bytes(tmp_path, line):
    found = read(tmp_path, "a.jsonl", f'{{"a": 0}}\n{line}\n{{"a": 2}}\n')
    assert good(found) == [{"a": 0}, {"a": 2}]
    assert bad(found) == [(2, line.encode(), "invalid_json")]


def test_a_member_named_twice_is_flagged(tmp_path):
    found = read(tmp_path, "a.jsonl", '{"a": 1, "a": 2}\n{"a": {"b": 1, "b": 1}}\n{"a": "\\"a\\":", "b": [{"a": 1}]}\n')
    assert [one.flag for one in found] == ["repeated_key", "repeated_key", None]


@pytest.mark.parametrize(
    ("content", "records", "flaws"),
    [
        ('[{"a":1},{"a":2},]', 2, [(1, b",]", "extra_comma")]),
        ('[{"a":1},,{"a":2}]', 2, [(1, b",", "extra_comma")]),
        ('[{"a":1}\n{"a":2}]', 2, [(2, b"", "missing_comma")]),
        ('[{"a":1}, oops, {"a":2}]', 2, [(1, b"oops", "invalid_json")]),
        ('[{"a":1},\n// note\n{"a":2}]', 2, [(2, b"// note", "invalid_json"), (3, b"", "missing_comma")]),
        ('[{"a":1},{"a":2}', 2, [(1, b"", "truncated")]),
        ('[{"a":1},{"a":2},{"a": "thr', 2, [(1, b'{"a": "thr', "truncated")]),
        ('[{"a":1},{"a":2}]]', 2, [(1, b"]", "extra_data")]),
        ('[{"a":1}][{"a":2}]', 2, [(1, b"", "extra_data")]),
        ('{"a":1},\n{"a":2},\n', 2, [(1, b",", "missing_bracket")]),
        ('[{"a":1}, 7, {"a":2}, [3]]', 2, [(1, b"7", "not_an_object"), (1, b"[3]", "not_an_object")]),
        ('[{"a":"x, "b":"y"},{"a":2},{"a":3}]', 2, [(1, b'{"a":"x, "b":"y"}', "invalid_json")]),
        (
            '[{"a":"say "hi"","b":{"c":[1]}},{"a":2},{"a":3}]',
            2,
            [(1, b'{"a":"say "hi"","b":{"c":[1]}}', "invalid_json")],
        ),
        ('[\n {"a": x",\n  "b": 1\n },\n {"a": 2}\n]', 1, [(2, b'{"a": x",\n  "b": 1\n }', "invalid_json")]),
        ('{"data":[{"a":1},{"a":2}],}', 2, [(1, b",}", "extra_comma")]),
        ('{"data":[{"a":1},{"a":2', 1, [(1, b'{"a":2', "truncated")]),
    ],
)
def test_each_flaw_of_a_json_file_is_a_bad_row_and_reading_goes_on(tmp_path, content, records, flaws):
    found = read(tmp_path, "a.json", content)
    assert len(good(found)) == records
    assert bad(found) == flaws


@pytest.mark.parametrize(
    ("content", "label"),
    [
        (
            '{"version": 1, "data": [{"a": 1}, {"a": 2}], "info": {"by": "me"}}',
            "the records of «data», without «version», «info»",
        ),
        ('{"train": [{"a": 1}], "test": [{"a": 2}]}', "the records of «train», «test»"),
        ('{"a": [1, 2], "b": [3, 4]}', "one object of columns"),
        ('{"a": {"0": 1, "1": 2}, "b": {"0": 3, "1": 4}}', "one object of columns"),
    ],
)
def test_records_held_by_an_object_are_found_and_what_is_left_out_is_said(tmp_path, content, label):
    path = tmp_path / "a.json"
    path.write_text(content)
    file = look(path)
    assert file.dialect is not None
    assert file.dialect.label == label
    assert [record["a"] for record in good(rows(file))] == [1, 2]


@pytest.mark.parametrize(
    "content",
    [
        '{"messages": [{"role": "user", "content": "x"}]}',
        '{"question": "Which?", "choices": [{"text": "a"}, {"text": "b"}]}',
    ],
)
def test_an_object_that_is_one_record_stays_one(tmp_path, content):
    assert good(read(tmp_path, "a.json", content)) == [json.loads(content)]


def test_a_whole_json_file_is_read_the_same_however_its_bytes_arrive(tmp_path, monkeypatch):
    records = [{"id": i, "text": f'é"{{[{i}\n', "inner": [{"id": i}]} for i in range(30)]
    monkeypatch.setattr("faion_finetuner.core.prepare.encoding.CHUNK_BYTES", 7)
    for indent in (None, 1):
        found = read(tmp_path, "a.json", json.dumps(records, indent=indent, ensure_ascii=False))
        assert good(found) == records
        assert bad(found) == []


def test_nesting_as_deep_as_a_bomb_is_a_bad_row(tmp_path):
    found = read(tmp_path, "a.json", '[{"a": 1}, ' + "[" * 100_000 + ', {"a": 2}]')
    assert good(found)[0] == {"a": 1}
    assert len(bad(found)) >= 1
    found = read(tmp_path, "a.jsonl", '{"a": 1}\n{"a": ' + "[" * 500 + "]" * 500 + '}\n{"a": 2}\n')
    assert [problem for _, _, problem in bad(found)] == ["invalid_json"]


def test_text_files_that_hold_json_lines_are_read_as_such(tmp_path):
    assert good(read(tmp_path, "a.txt", '{"a": 1}\n{"a": 2}\n')) == [{"a": 1}, {"a": 2}]
    assert good(read(tmp_path, "b.txt", "One.\n\n{curly}\n")) == [{"text": "One."}, {"text": "{curly}"}]


def test_paragraphs_end_at_empty_lines_whatever_the_line_ends(tmp_path):
    found = read(tmp_path, "a.txt", b"One\r\ntwo.\r\n\r\nThree.\x0cfour\r\n \t\r\n```\r\ncode\r\n\r\nmore\r\n```\r\n")
    assert [record["text"] for record in good(found)] == ["One\ntwo.", "Three.\x0cfour", "```\ncode\n\nmore\n```"]


# CSV


@pytest.mark.parametrize(
    ("content", "label"),
    [
        ("question,answer\na,b\nc,d\n", 'comma-delimited, quote ", doubled quotes, with header'),
        ('question, answer\n"a, b", "c"\nd, e\n', "comma-delimited with a space after it"),
        ("question;answer\nWhat, really?;Yes\nHow much?;1,5\n", "semicolon-delimited"),
        ("question|answer\nWhat, really?|Yes\nHow?|1,5\n", "bar-delimited"),
        ("question^answer\nwhat is it?^that\nhow, so?^this\n", "caret-delimited"),
        ("question~answer\nwhat is it?~that\nhow, so?~this\n", "tilde-delimited"),
        ("question:answer\nwhat is it?:that\nhow, so?:this\n", "colon-delimited"),
        ("name  age  city\nAnna  12  Rome\nBo    9   Oslo\nCyd   33  Bern\n", "space-delimited"),
        ("question,answer\n'What, really?',Yes\n'It''s, so',no\n", "quote ', doubled quotes"),
        ('question,answer\n"What, \\"really\\"?",Yes\n"a\\\\b",no\n', "backslash escapes"),
        ("sep=;\nquestion;answer\na;b\n", "1 line before the header"),
        ("# made by me\n# in 2026\nquestion,answer\na,b\nc,d\n", "2 lines before the header"),
        ("Export\n\nof a, b and c\nquestion,answer\na,b\nc,d\n", "3 lines before the header"),
        ("My export,,\nof 2026,,\n,,\nquestion,answer,category\na,b,c\nd,e,f\n", "3 lines before the header"),
        ("a,b\n1,2,\n3,4,\n", "with header, a delimiter at the end of every row"),
        ("1,Paris,2.5\n2,Rome,3.5\n3,Oslo,4.5\n", "no header"),
        ("text\nHello, you there.\nNo commas\nA line, with commas, more\n", "one column"),
    ],
)
def test_the_dialect_is_found(tmp_path, content, label):
    assert label in dialect(tmp_path, content).label


def test_columns_without_a_name_or_with_the_same_one_stay_apart(tmp_path):
    assert dialect(tmp_path, ",question,answer\n0,a,b\n1,c,d\n").names == ("column_1", "question", "answer")
    assert dialect(tmp_path, "text,text,n\na,b,1\nc,d,2\n").names == ("text", "text_2", "n")
    assert dialect(tmp_path, "question,answer\n1,a,b\n2,c,d\n3,e,f\n").names == ("column_1", "question", "answer")


def test_values_stand_as_in_the_file(tmp_path):
    content = 'id,question,answer\r\n007,"two\r\nlines, ""here""", padded \r\n1e3,5" disk,\x00C:\\new\r\n'
    assert good(read(tmp_path, "a.csv", content)) == [
        {"id": "007", "question": 'two\r\nlines, "here"', "answer": " padded "},
        {"id": "1e3", "question": '5" disk', "answer": "\x00C:\\new"},
    ]


def test_a_quote_left_bare_inside_quotes_is_kept_and_flagged(tmp_path):
    [found, _] = read(tmp_path, "a.csv", 'question,answer\n"He said "hi" to me, twice",yes\n"a, b",c\n')
    assert found.record == {"question": 'He said "hi" to me, twice', "answer": "yes"}
    assert found.flag == "unescaped_quotes"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a,b", "wrong_column_count"),
        ("a,b,c,d", "wrong_column_count"),
        (",a,b,", "wrong_column_count"),
        ('"never closed,b,c', "broken_quotes"),
        ('a"b, c",d', "broken_quotes"),
        ("question,answer,note", "repeated_header"),
        ("Total: 2 rows", "wrong_column_count"),
    ],
)
def test_a_broken_row_is_one_bad_row_and_moves_no_value(tmp_path, line, problem):
    rest = '"x, y",y,z\n"1\n2",y,"z"\n' * 5
    found = read(tmp_path, "a.csv", f"question,answer,note\n{rest}{line}\n{rest}")
    assert (
        good(found)
        == [{"question": "x, y", "answer": "y", "note": "z"}, {"question": "1\n2", "answer": "y", "note": "z"}] * 10
    )
    assert bad(found) == [(17, line.encode(), problem)]


def test_bytes_that_are_not_text_spoil_their_row_only(tmp_path):
    found = read(tmp_path, "a.csv", "question,answer\né,b\né,c\n".encode() + b"\xff\xfe,d\n")
    assert bad(found) == [(4, b"\xff\xfe,d", "undecodable")]
    assert len(good(found)) == 2


def test_short_rows_are_whole_where_the_writer_leaves_out_empty_cells(tmp_path):
    whole = "".join(f"{i},x{i},y{i},z{i}\n" for i in range(10))
    found = read(tmp_path, "a.csv", f"id,b,c,d\n{whole}11,x11,y11\n{whole}12,x12,y12\n{whole}")
    assert [record for record in good(found) if record["id"] == "11"] == [
        {"id": "11", "b": "x11", "c": "y11", "d": None}
    ]


def test_a_row_torn_in_two_is_not_taken_for_short_rows(tmp_path):
    whole = "".join(f"{i},x{i},y{i},z{i}\n" for i in range(10))
    found = read(tmp_path, "a.csv", f"id,b,c,d\n{whole}11,x11,y\n11,z11\n{whole}")
    assert len(bad(found)) == 2
    assert len(good(found)) == 20


def test_very_long_fields_and_very_many_lines_in_one_field_are_read(tmp_path):
    field, lines = "x" * 3_000_000, "y\n" * 1_500
    found = read(tmp_path, "a.csv", f'question,answer\n{field},b\n"{lines}",c\n')
    assert [record["question"] for record in good(found)] == [field, lines]


# Parquet and Arrow

TABLE = pl.DataFrame(
    {
        "text": ["a", "b\n"],
        "day": [datetime.date(2024, 1, 2)] * 2,
        "price": [decimal.Decimal("1.10"), None],
        "big": pl.Series([2**100, 1], dtype=pl.Int128),
        "inner": [{"list": [1, 2], "day": datetime.date(2024, 1, 2)}] * 2,
        "kind": pl.Series(["x", "y"], dtype=pl.Categorical),
        "number": [0.1, float("nan")],
    }
)
FIRST = {
    "text": "a",
    "day": "2024-01-02",
    "price": "1.10",
    "inner": {"list": [1, 2], "day": "2024-01-02"},
    "kind": "x",
    "number": 0.1,
}
PACKERS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard.compress}


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("form", ["parquet", "file", "stream"])
def test_tables_of_any_form_and_packing_say_the_same_as_json(tmp_path, form, packing):
    path = tmp_path / "table"
    writers = {
        "parquet": TABLE.write_parquet,
        "file": TABLE.drop("big").write_ipc,
        "stream": TABLE.drop("big").write_ipc_stream,
    }
    writers[form](path)
    found = read(tmp_path, f"a.arrow{packing}", PACKERS[packing](path.read_bytes()))
    first = good(found)[0]
    assert str(first.pop("big", 2**100)) == str(2**100)
    assert first == FIRST
    assert good(found)[1]["number"] is None
    assert [one.line for one in found] == [1, 2]


def test_a_stream_of_many_batches_with_a_dictionary_is_read_batch_by_batch(tmp_path):
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"kind": pa.array(["x", "y"] * 50).dictionary_encode(), "id": list(range(100))})
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    found = good(rows(look(tmp_path / "a.arrow")))
    assert found == [{"kind": "xy"[i % 2], "id": i} for i in range(100)]


def test_bytes_in_a_table_are_text_where_they_are_text_and_a_bad_row_where_not(tmp_path):
    pl.DataFrame({"a": [b"text", b"\xff\x00", None], "b": [1.5, 2.5, float("inf")]}).write_parquet(
        tmp_path / "a.parquet"
    )
    found = list(rows(look(tmp_path / "a.parquet")))
    assert good(found) == [{"a": "text", "b": 1.5}]
    assert [one.problem for one in found] == [None, "binary_value", "infinite_number"]


@pytest.mark.parametrize("form", ["parquet", "file", "stream"])
def test_a_table_that_breaks_off_is_one_clear_error(tmp_path, form):
    path = tmp_path / "table"
    table = pl.DataFrame({"a": [f"text {i}" for i in range(5000)]})
    {"parquet": table.write_parquet, "file": table.write_ipc, "stream": table.write_ipc_stream}[form](path)
    content = path.read_bytes()
    for end in (40, len(content) // 2, len(content) - 4):
        with pytest.raises(DataError, match="damaged"):
            read(tmp_path, "a.arrow", content[:end])


# Encodings

RUSSIAN = '{"question": "Какая погода в Москве?", "answer": "Сегодня солнечно и тепло"}\n'
FRENCH = '{"question": "Où est passé l\'été ?", "answer": "Très loin déjà, à Besançon"}\n'
CHINESE = '{"instruction": "请解释什么是机器学习", "output": "机器学习是人工智能的一个分支。"}\n'
TAIWANESE = '{"instruction": "請解釋什麼是機器學習", "output": "機器學習是人工智慧的一個分支。"}\n'
JAPANESE = '{"question": "東京の天気はどうですか", "answer": "晴れています。気温は二十度です。"}\n'
KOREAN = '{"q": "서울의 날씨는 어떻습니까", "a": "맑습니다 기온은 이십도입니다"}\n'
ENGLISH = "He said \u201chello\u201d \u2014 it\u2019s fine\u2026\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *[(FRENCH, name) for name in ("utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32-le")],
        *[(RUSSIAN, name) for name in ("koi8-r", "cp1251", "cp866", "iso8859-5", "utf-16-be")],
        *[(CHINESE, name) for name in ("utf-8", "gb18030", "utf-16-le", "utf-16-be")],
        *[(JAPANESE, name) for name in ("shift_jis", "euc_jp", "iso2022_jp", "utf-16-le")],
        (TAIWANESE, "big5"),
        (KOREAN, "euc_kr"),
    ],
)
@pytest.mark.parametrize("times", [1, 20])
def test_the_encoding_of_short_and_long_texts_is_found(tmp_path, text, name, times):
    found = read(tmp_path, "a.jsonl", (text * times).encode(name))
    assert good(found) == [json.loads(text)] * times
    assert bad(found) == []


def test_curly_quotes_alone_are_enough_for_windows_1252(tmp_path):
    [found] = read(tmp_path, "a.txt", ENGLISH.encode("cp1252"))
    assert found.record == {"text": ENGLISH.strip()}


def test_a_few_broken_lines_among_good_utf8_stay_bad_lines_with_their_bytes(tmp_path):
    lines = [RUSSIAN.encode()] * 20
    lines[7:7] = [b'{"a": "\xff\xfe"}\n']
    found = read(tmp_path, "a.jsonl", b"".join(lines))
    assert bad(found) == [(8, b'{"a": "\xff\xfe"}', "undecodable")]
    assert detect(tmp_path / "a.jsonl").label == "utf-8"


def test_a_broken_line_of_a_legacy_file_is_a_bad_line_too(tmp_path):
    lines = [JAPANESE.encode("shift_jis")] * 20
    lines[7:7] = [b'{"a": "\x81\xff"}\n']
    found = read(tmp_path, "a.jsonl", b"".join(lines))
    assert [(line, problem) for line, _, problem in bad(found)] == [(8, "undecodable")]
    assert len(good(found)) == 20


def test_an_accent_after_a_gigabyte_of_ascii_would_be_seen(tmp_path):
    content = b"plain\n" * 300_000 + "caf\u00e9 \u00e0 la cr\u00e8me\n".encode("cp1252")
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    assert detect(path).name == "cp1252"


def test_what_no_encoding_can_mean_does_not_pass_for_text(tmp_path):
    lines = [
        '{"a": 1}\n'.encode("utf-32-le"),
        '{"a": "x'.encode("utf-32-le") + b"\0\0\x11\0" + '"}\n'.encode("utf-32-le"),
    ]
    found = read(tmp_path, "a.jsonl", b"\xff\xfe\0\0" + b"".join(lines))
    assert good(found) == [{"a": 1}]
    assert [problem for _, _, problem in bad(found)] == ["undecodable"]
