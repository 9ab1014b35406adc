"""cleanllm's checks one after the other, through its Python interface. Runs in cleanllm's environment.

python with_cleanllm.py ROWS.jsonl OUTPUT_FOLDER MODEL_FOLDER PROCESSES     (it has no use for the model)

Its semantic duplicates, quality scores and names need models and are left out. So is its decontamination, which
fetches benchmarks.
"""

# pyright: reportMissingImports=false
import sys
from pathlib import Path

from cleanllm import FixRules, dedup_jsonl, fix_jsonl, scan_jsonl, stats_jsonl
from cleanllm.convert import convert_jsonl
from cleanllm.dedup import near_dedup_jsonl
from cleanllm.pii import redact_pii_jsonl
from cleanllm.presets import get_preset
from cleanllm.split import split_jsonl


def main(rows: str, output: Path, processes: int) -> None:
    """Prepare the rows."""
    chat, fixed, redacted, unique, data = (
        str(output / f"{name}.jsonl") for name in ("chat", "fixed", "redacted", "unique", "data")
    )
    scan_jsonl(rows, required_keys=["instruction"], pii=True, workers=processes)
    convert_jsonl(rows, chat, "alpaca", "chatml")
    rules = FixRules(
        required_keys=["messages"],
        drop_on={"invalid_json", "empty_assistant", "placeholder", "bad_conversation"},
        min_assistant_chars=1,  # its README: for text
        remove_urls=False,
        fix_encoding=True,
        forbidden_patterns=get_preset("security_scan").forbidden_patterns,
    )
    fix_jsonl(chat, fixed, rules, workers=processes)
    redact_pii_jsonl(fixed, redacted, show_progress=False)
    dedup_jsonl(redacted, unique)
    near_dedup_jsonl(unique, data, threshold=0.8, shingle_size=3)
    stats_jsonl(data, workers=processes)
    split_jsonl(data, str(output / "split"), ratio=0.9)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[4]))
