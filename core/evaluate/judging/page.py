"""The page on which people judge: one file without links, which knows no key and sends nothing anywhere."""

import base64
import hashlib
from pathlib import Path

import orjson

from .pairs import Docket

HERE = Path(__file__).parent


def page(docket: Docket, rubric: str) -> str:
    """Every pair once, for the keyboard or the mouse; the votes are exported as a JSONL file.

    All texts reach the page as data and are shown as plain text. Its policy lets only its own script run.
    """
    pairs = [
        {"id": showing.id, "prompt": pair.prompt, "reference": pair.reference, "a": a, "b": b}
        for showing in docket.once
        for pair, (a, b) in [(docket.pairs[showing.pair], docket.answers(showing))]
    ]
    data = orjson.dumps({"run_id": docket.run_id, "rubric": rubric, "pairs": pairs}).decode()
    script = (HERE / "judge.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = {
        "{{script_hash}}": f"sha256-{digest}",
        "{{script}}": script,
        "{{data}}": data.replace("<", "\\u003c"),  # so that no text can end the element it stands in; the last one in
    }
    text = (HERE / "judge.html").read_text(encoding="utf-8")
    for mark, value in parts.items():
        text = text.replace(mark, value)
    return text
