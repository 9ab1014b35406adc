"""What the base model's own papers say: the licence that its tuned copy will have too."""

import re
from pathlib import Path

from ..checks import Check
from ..models.licence import licence_of
from ..models.source import BUILTIN
from ..untrusted import quote

NAME = "Base model"
FREE = ("apache-2.0", "mit", "bsd", "cc0", "cc-by-4.0", "cc-by-sa", "unlicense", "mpl", "isc", "gpl", "lgpl", "agpl")
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
    found = licence_of(model_name, folder)
    if found is None:
        return Check(name=NAME, status="pass", details="No licence lies in the model's folder. " + LOOK)
    licence = found.name
    shown = f"Licence {quote(licence)}"
    if NO_BUSINESS.search(licence):
        return Check(name=NAME, status="warn", details=f"{shown}: not for commercial use.", next_step=LOOK)
    own = next((terms for sign, terms in OWN_TERMS.items() if sign in licence.lower()), None)
    if own is not None or not licence.lower().startswith(FREE):
        details = f"{shown}: {own or 'not one of the usual free licences'}."
        return Check(name=NAME, status="warn", details=details, next_step=LOOK)
    return Check(name=NAME, status="pass", details=f"{shown}.")
