"""The ground: files that are whole or absent, settings, errors, checks."""

import pickle
from pathlib import Path

import pytest
from faion_finetuner.core import errors, extras, files
from faion_finetuner.core.checks import Check, worst
from faion_finetuner.core.schema import Model, descriptions
from faion_finetuner.core.settings import ROOTS, STATE, Settings
from pydantic import Field, ValidationError


class Parent(Model):
    """What both have."""

    name: str
    """How it is called,
    on two lines."""

    plain: int = 0

    told: int = Field(default=0, description="By itself.")
    """Not this."""


class Child(Parent):
    """A parent with one more."""

    inner: Parent | None = None
    """Another one."""


def break_off(path: Path) -> None:
    with files.atomic_writer(path) as file:
        file.write(b"half")
        raise RuntimeError


def break_off_folder(path: Path) -> None:
    with files.atomic_folder(path) as fresh:
        (fresh / "b").write_text("half", encoding="utf-8")
        raise RuntimeError


def test_a_file_is_whole_or_absent(tmp_path: Path):
    path = tmp_path / "deep" / "file.txt"
    with pytest.raises(RuntimeError):
        break_off(path)
    assert list(path.parent.iterdir()) == []
    files.write_text(path, "whole")
    assert path.read_text() == "whole"


def test_a_failed_rewrite_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "file.txt"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError):
        break_off(path)
    assert path.read_text() == "old"


def test_a_folder_is_whole_or_absent_and_replaces_the_old_one(tmp_path: Path):
    target = tmp_path / "model"
    with files.atomic_folder(target) as fresh:
        (fresh / "a").write_text("1", encoding="utf-8")
    with pytest.raises(RuntimeError):
        break_off_folder(target)
    assert {path.name for path in target.iterdir()} == {"a"}
    with files.atomic_folder(target) as fresh:
        (fresh / "c").write_text("3", encoding="utf-8")
    assert {path.name for path in target.iterdir()} == {"c"}
    assert {path.name for path in tmp_path.iterdir()} == {"model"}
    assert files.folder_bytes(tmp_path) == 1


@pytest.mark.parametrize(
    "kind", [kind for kind in vars(errors).values() if isinstance(kind, type)], ids=lambda k: k.__name__
)
def test_every_error_survives_pickling_and_has_a_code_of_its_own(kind: type[errors.FinetunerError]):
    error = pickle.loads(pickle.dumps(kind("It broke.", "Mend it.")))
    assert (error.problem, error.next_step, str(error)) == ("It broke.", "Mend it.", "It broke.\nNext: Mend it.")
    codes = [other.code for other in vars(errors).values() if isinstance(other, type)]
    assert codes.count(kind.code) == 1


def test_models_are_closed_frozen_and_hold_no_infinity():
    class Point(Model):
        x: float

    with pytest.raises(ValidationError, match="y"):
        Point.model_validate({"x": 1, "y": 2})
    with pytest.raises(ValidationError, match="frozen"):
        Point(x=1).x = 2
    with pytest.raises(ValidationError, match="finite"):
        Point(x=float("nan"))


def test_settings_travel_through_the_environment(settings: Settings):
    assert Settings.from_environment() == settings


@pytest.mark.parametrize("place", ["home", "root"])
def test_the_home_folder_and_the_whole_disk_count_only_when_named(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(ROOTS, raising=False)
    monkeypatch.setenv(STATE, str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path if place == "home" else "/")
    assert Settings.from_environment().roots == ()
    monkeypatch.setenv(ROOTS, str(tmp_path))
    assert Settings.from_environment().roots == (tmp_path.resolve(),)


def test_a_missing_package_ends_in_one_sentence_with_the_install_line():
    with pytest.raises(errors.MissingExtraError, match="Flying needs the package 'no_such_package'") as caught:
        extras.require("no_such_package", "Flying")
    assert "pip install" in caught.value.next_step


def test_the_gravest_check_counts():
    def check(status):
        return Check(name="n", status=status, details="d")

    assert worst([]) == "pass"
    assert worst([check("pass"), check("warn")]) == "warn"
    assert worst([check("fail"), check("warn")]) == "fail"


def test_docstrings_below_fields_are_the_descriptions_of_the_schema():
    assert descriptions(Child) == {
        "name": "How it is called,\non two lines.",
        "told": "Not this.",
        "inner": "Another one.",
    }
    schema = Child.model_json_schema()
    for properties in (schema["properties"], schema["$defs"]["Parent"]["properties"]):
        assert properties["name"]["description"] == "How it is called,\non two lines."
        assert properties["told"]["description"] == "By itself."
        assert "description" not in properties["plain"]
    assert schema["properties"]["inner"]["description"] == "Another one."
