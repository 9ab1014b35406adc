"""Under which licence a model stands, as far as its folder says; a tuned copy inherits it."""

import re
from dataclasses import dataclass
from pathlib import Path

from .source import BUILTIN

HEADER = re.compile(r"\A---\n(?P<body>.*?)\n---", re.DOTALL)
FIELD = re.compile(r"^(?P<name>license|license_name|license_link):[ \t]*(?P<value>\S.*)$", re.MULTILINE)
TEXTS = {"Apache License": "apache-2.0", "MIT License": "mit", "LLAMA": "llama", "Gemma Terms": "gemma"}
BUILT_IN = "apache-2.0"  # SmolLM2
OTHER = "other"
FILES = ("LICEN[SC]E*", "*[Ll]icen[sc]e*.txt")


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence by name."""

    id: str
    """The model hub's identifier, e.g. "apache-2.0"; "other" for one that the hub has none for."""
    name: str
    """For people."""
    link: str | None = None


def licence_of(model_name: str, folder: Path) -> Licence | None:
    """The licence field at the head of README.md, else what a licence file begins with; None without either."""
    if model_name in BUILTIN:
        return Licence(BUILT_IN, BUILT_IN)
    return _from_card(folder) or _from_text(folder)


def licence_files(folder: Path) -> list[Path]:
    """The texts of licence and notice that have to go along with each copy."""
    return sorted({path for pattern in (*FILES, "NOTICE*", "*USE_POLICY*") for path in folder.glob(pattern)})


def _from_card(folder: Path) -> Licence | None:
    try:
        header = HEADER.match((folder / "README.md").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    fields = {m["name"]: m["value"].strip(" \"'") for m in FIELD.finditer(header["body"])} if header else {}
    named = fields.get("license")
    if named is None:
        return None
    return Licence(named, fields.get("license_name", named) if named == OTHER else named, fields.get("license_link"))


def _from_text(folder: Path) -> Licence | None:
    for path in sorted(path for pattern in FILES for path in folder.glob(pattern)):
        begin = path.read_text(encoding="utf-8", errors="replace")[:500]
        known = next((name for text, name in TEXTS.items() if text in begin), None)
        free = known in ("apache-2.0", "mit")  # the others have versions, each with an identifier of its own
        return Licence(known if known and free else OTHER, known or begin.strip().split("\n")[0])
    return None
