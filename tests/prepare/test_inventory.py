"""Folders in which some files hold nothing, or are none that can be read."""

import gzip

import polars as pl
import pytest
from faion_finetuner.core.errors import DataError

from .preparing import pairs, prepare, write, write_rows

EMPTY = {
    "b.jsonl": b"",
    "c.jsonl": b" \n\n\t",
    "d.csv": b"\xef\xbb\xbf",
    "e.json": "\ufeff \n".encode("utf-16-le"),
    "f.jsonl.gz": gzip.compress(b""),
    "g.jsonl": b" " * 70_000,
}


def test_empty_files_of_a_folder_are_named_and_the_others_are_read(settings):
    write_rows(settings, "data/a.jsonl", pairs(4))
    for name, content in EMPTY.items():
        write(settings, f"data/{name}", content)
    write_rows(settings, "data/z.jsonl", [{"question": "What is last?", "answer": "This row is."}])
    outcome = prepare(settings, "data")
    assert outcome.result.unique_examples == 5
    check = outcome.check("Files")
    assert (check.status, check.count) == ("warn", 6)
    assert check.details.startswith("no rows in 6 of 8 files: ")
    assert f"«{settings.roots[0] / 'data' / 'b.jsonl'}» (empty)" in check.details
    assert "and 1 more" in check.details
    assert any(warning.startswith("Files: no rows in 6 of 8 files") for warning in outcome.result.warnings)
    assert outcome.result.source.detected_format == "jsonl"
    assert len(outcome.result.source.files) == 8
    assert check.details in outcome.report


def test_files_with_nothing_but_a_header_or_a_pair_of_brackets_are_named_too(settings):
    write_rows(settings, "data/a.jsonl", pairs(4))
    write(settings, "data/b.csv", "question,answer\n")
    write(settings, "data/c.json", "[]")
    pl.DataFrame({"question": [], "answer": []}).write_parquet(settings.roots[0] / "data" / "d.parquet")
    check = prepare(settings, "data").check("Files")
    assert check.count == 3
    assert "b.csv»," in check.details  # not called empty: it has a header


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_file_alone_is_a_clear_error(settings, name):
    with pytest.raises(DataError, match="is empty") as caught:
        prepare(settings, write(settings, name, EMPTY[name]))
    assert name in caught.value.problem


def test_a_folder_of_empty_files_alone_is_a_clear_error(settings):
    for name, content in EMPTY.items():
        write(settings, f"data/{name}", content)
    with pytest.raises(DataError, match="and 3 more files are empty"):
        prepare(settings, "data")


def test_text_of_white_space_at_its_start_is_still_read(settings):
    content = b" \n" * 70_000 + b'{"question": "What is late?", "answer": "This row is."}\n'
    assert prepare(settings, write(settings, "a.jsonl", content)).result.unique_examples == 1


def test_files_of_a_folder_that_are_not_read_are_named_but_not_what_describes_the_data(settings):
    write_rows(settings, "data/a.jsonl", pairs(4))
    for name in ("README.txt", "LICENSE", "notes.md", "load.py", ".hidden.xlsx"):
        write(settings, f"data/{name}", "About.")
    (settings.roots[0] / "data" / ".#a.jsonl").symlink_to("user@host.123:456")  # as Emacs locks a file
    assert "Files" not in [check.name for check in prepare(settings, "data").result.checks]
    write(settings, "data/more/b.xlsx", b"PK\x03\x04")
    write(settings, "data/c.jsonl.bak", "{}")
    write(settings, "data/d.txt", "Text beside records.")
    (settings.roots[0] / "data" / "moved.jsonl").symlink_to("gone.jsonl")
    check = prepare(settings, "data", overwrite=True).check("Files")
    assert (check.status, check.count) == ("warn", 4)
    for name in ("more/b.xlsx", "c.jsonl.bak", "d.txt", "moved.jsonl"):
        assert f"{name}»" in check.details


def test_several_files_with_rows_pass(settings):
    write_rows(settings, "data/a.jsonl", pairs(4)[:2])
    write_rows(settings, "data/b.jsonl", pairs(4)[2:])
    check = prepare(settings, "data").check("Files")
    assert (check.status, check.details) == ("pass", "2 files, rows in every one")


def test_a_benchmark_without_rows_counts_as_not_checked(settings):
    write(settings, "bench.jsonl", "")
    outcome = prepare(settings, write_rows(settings, "a.jsonl", pairs(4)), benchmarks=["bench.jsonl"])
    check = next(check for check in outcome.result.checks if check.name.endswith("(not checked)"))
    assert "bench.jsonl: it holds no rows" in check.details
