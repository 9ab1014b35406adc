"""What people write by hand: load, drop empty answers and exact copies, tokenise, split, write. In the project's .venv.

python with_datasets.py ROWS.jsonl OUTPUT_FOLDER MODEL_FOLDER PROCESSES
"""

import sys
from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset
from transformers import AutoTokenizer


def main(rows: str, output: Path, model: str, processes: int) -> None:
    """Prepare the rows."""
    tokenizer: Any = AutoTokenizer.from_pretrained(model)

    def as_messages(row: dict[str, str]) -> dict[str, Any]:
        question = f"{row['instruction']}\n\n{row['input']}" if row["input"] else row["instruction"]
        return {
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": row["output"]}],
        }

    def count(batch: dict[str, Any]) -> dict[str, list[int]]:
        texts = [tokenizer.apply_chat_template(messages, tokenize=False) for messages in batch["messages"]]
        return {"tokens": [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]}

    data = load_dataset("json", data_files=rows, split="train")
    assert isinstance(data, Dataset)
    data = data.filter(lambda row: bool(row["output"].strip()), num_proc=processes)
    seen: set[tuple[str, str, str]] = set()

    def is_new(row: dict[str, str]) -> bool:
        key = (row["instruction"], row["input"], row["output"])
        return not (key in seen or seen.add(key))

    data = data.filter(is_new)
    data = data.map(as_messages, remove_columns=data.column_names, num_proc=processes)
    data = data.map(count, batched=True, num_proc=processes)
    parts = data.train_test_split(test_size=0.1, seed=42)
    parts["train"].to_json(str(output / "train.jsonl"))
    parts["test"].to_json(str(output / "valid.jsonl"))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
