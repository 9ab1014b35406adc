import sys

import pytest
from faion_finetuner.core.personal import names
from faion_finetuner.core.personal.names import name_finder, names_are_found_by
from faion_finetuner.core.personal.redact import Redactor

# A stand-in for spaCy and a model: every two capitalised words in a row are a person, OSLO is a place.
MODEL = """
import re
from types import SimpleNamespace

def load(exclude=()):
    assert "ner" not in exclude
    return read

def read(text):
    people = [entity(match, "PERSON") for match in re.finditer(r"[A-Z]\\\\w+ [A-Z][\\\\w/]+(?:'s)?", text)]
    return SimpleNamespace(ents=people + [entity(match, "GPE") for match in re.finditer("OSLO", text)])

def entity(match, label):
    return SimpleNamespace(text=match.group(), label_=label, start_char=match.start())
"""


@pytest.fixture
def recogniser(tmp_path, monkeypatch):
    for name, code in (("spacy", ""), ("en_core_web_sm", MODEL.replace("\\\\", "\\"))):
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(names, "MODELS", ("en_core_web_sm",))
    monkeypatch.syspath_prepend(tmp_path)
    names._load.cache_clear()
    yield
    names._load.cache_clear()
    for name in ("spacy", "en_core_web_sm"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("recogniser")
def test_people_are_found_and_nothing_else_with_a_capital():
    find_names = name_finder()
    assert find_names is not None
    text = "then Maria Gonzalez's aunt met Ola Nordmann in OSLO at Path A/B."
    assert [text[span.start : span.end] for span in find_names(text)] == ["Maria Gonzalez", "Ola Nordmann"]
    assert {span.kind for span in find_names(text)} == {"NAME"}
    assert "en_core_web_sm" in names_are_found_by()


@pytest.mark.usefixtures("recogniser")
def test_names_of_a_long_text_stand_where_they_are_found(monkeypatch):
    monkeypatch.setattr(names, "LONGEST", 20)
    find_names = name_finder()
    assert find_names is not None
    text = "x" * 15 + " and " + "Ola Nordmann was here"
    assert [text[span.start : span.end] for span in find_names(text)] == ["Ola Nordmann"]


@pytest.mark.usefixtures("recogniser")
def test_names_are_redacted_beside_other_values_and_give_way_to_them():
    redactor = Redactor(find_names=name_finder())
    text = "Ola Nordmann, ola@example.org, lives at 12 Oak Street with OLA NORDMANN and Kari Nordmann."
    once = redactor.redact(text)
    assert once == "[NAME_1], [EMAIL_1], lives at [ADDRESS_1] with [NAME_1] and [NAME_2]."
    assert Redactor(find_names=name_finder()).redact(once) == once


def test_without_a_recogniser_it_is_said_and_names_stay(monkeypatch):
    monkeypatch.setattr(names, "find_spec", lambda name: None)
    assert name_finder() is None
    assert "not looked for" in names_are_found_by()
    assert "pip install" in names_are_found_by()
    assert Redactor(find_names=name_finder()).redact("Ola Nordmann") == "Ola Nordmann"
