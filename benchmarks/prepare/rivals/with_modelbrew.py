"""modelbrew-cleaner's checks and export, with its repairs if asked. Runs in modelbrew-cleaner's environment.

python with_modelbrew.py ROWS.jsonl OUTPUT_FOLDER MODEL_FOLDER PROCESSES [repair]   (it uses one process and no model)

Its semantic duplicates, toxicity and judge need models and are left out, as by default.
"""

# pyright: reportMissingImports=false
import sys
from pathlib import Path

from modelbrew_cleaner import clean_file, export_clean, issue_summary
from modelbrew_cleaner.autofix import apply_autofixes
from modelbrew_cleaner.presets import CLEANING_PRESETS

PROFILE = "openai_chat"
FIXES = [*CLEANING_PRESETS[PROFILE]["fixes"], "remove_placeholder_rows", "redact_pii"]


def main(rows: str, output: Path, repair: bool) -> None:
    """Prepare the rows."""
    checked = clean_file(rows, target_profile=PROFILE)
    sys.stdout.write(f"{issue_summary(checked)}\n")
    if repair:
        checked = apply_autofixes(checked, FIXES)
    (output / "data.jsonl").write_text(export_clean(checked, target_profile=PROFILE), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), "repair" in sys.argv[5:])
