"""What the base model's own papers say: the licence that its tuned copy will have too."""

import re
from pathlib import Path

from ..checks import Check
from ..models.source import BUILTIN
from ..untrusted import quote

NAME = "Base model"
HEADER = re.compile(r"\A---\n(?P<body>.*?)\n---", re.DOTALL)
FIELD = re.compile(r"^(?P<name>license|license_name|license_link):[ \t]*(?P<value>\S.*)$", re.MULTILINE)
FREE = ("apache-2.0", "mit", "bsd", "cc0", "cc-by-4.0", "cc-by-sa", "unlicense", "mpl", "isc", "gpl", "lgpl", "agpl")
TEXTS = {"Apache License": "apache-2.0", "MIT License": "mit", "LLAMA": "llama", "Gemma Terms": "gemma"}
NO_BUSINESS = re.compile(r"\bnc\b|non-?commercial|research", re.IGNORECASE)
LOOK = "Read the licence before you share or sell the result; it holds for the tuned model too."
OWN_TERMS = {
    "llama": "its terms ask for their own text and name beside each copy",
    "gemma": "its terms forbid some uses",
}


def base_check(model_name: str, folder: Path) -> Check:
    """Under which licence the base model stands, as far as its folder says."""
    if model_name in BUILTIN:
        return Check(name=NAME, status="pass", details="Licence apache-2.0 (SmolLM2, built in); not gated.")
    licence = _from_card(folder) or _from_text(folder)
    if licence is None:
        return Check(name=NAME, status="pass", details="No licence lies in the model's folder. " + LOOK)
    shown = f"Licence {quote(licence)}"
    if NO_BUSINESS.search(licence):
        return Check(name=NAME, status="warn", details=f"{shown}: not for commercial use.", next_step=LOOK)
    own = next((terms for sign, terms in OWN_TERMS.items() if sign in licence.lower()), None)
    if own is not None or not licence.lower().startswith(FREE):
        details = f"{shown}: {own or 'not one of the usual free licences'}."
        return Check(name=NAME, status="warn", details=details, next_step=LOOK)
    return Check(name=NAME, status="pass", details=f"{shown}.")


def _from_card(folder: Path) -> str | None:
    """The licence field at the head of README.md."""
    try:
        header = HEADER.match((folder / "README.md").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    fields = {m["name"]: m["value"].strip(" \"'") for m in FIELD.finditer(header["body"])} if header else {}
    named = fields.get("license")
    return fields.get("license_name", named) if named == "other" else named


def _from_text(folder: Path) -> str | None:
    """The licence that a licence file begins with."""
    for path in sorted([*folder.glob("LICEN[SC]E*"), *folder.glob("*[Ll]icen[sc]e*.txt")]):
        begin = path.read_text(encoding="utf-8", errors="replace")[:500]
        return next((name for text, name in TEXTS.items() if text in begin), begin.strip().split("\n")[0])
    return None
