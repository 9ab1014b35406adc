"""The recipe with LLaMA-Factory, on the same tokens (tokenized_path); its defaults where the recipe says nothing."""

# pyright: reportMissingImports=false, reportPrivateImportUsage=false
from datasets import Dataset, DatasetDict
from llamafactory.train.tuner import run_exp
from task import TASK, clock, rows

tokenised = [row | {"attention_mask": [1] * len(row["input_ids"])} for row in rows()]
DatasetDict({"train": Dataset.from_list(tokenised)}).save_to_disk(TASK["output"] + "/tokens")
run_exp(
    {
        "stage": "sft",
        "do_train": True,
        "model_name_or_path": TASK["model"],
        "template": "chatml",
        "dataset": "unused",
        "tokenized_path": TASK["output"] + "/tokens",
        "cutoff_len": TASK["longest"],
        "finetuning_type": "lora",
        "lora_rank": TASK["rank"],
        "lora_alpha": TASK["alpha"],
        "lora_target": "all",
        "output_dir": TASK["output"] + "/adapter",
        "per_device_train_batch_size": TASK["batch_size"],
        "gradient_accumulation_steps": TASK["accumulation"],
        "num_train_epochs": 1,
        "learning_rate": TASK["learning_rate"],
        "lr_scheduler_type": "cosine",
        "warmup_steps": TASK["warmup"],
        "weight_decay": TASK["decay"],
        "bf16": True,
        "use_cpu": True,
        "seed": TASK["seed"],
        "save_strategy": "no",
        "report_to": "none",
        "logging_steps": 1,
        "disable_tqdm": True,
    },
    callbacks=[clock()],
)
