"""The recipe as a plain script with TRL's SFTTrainer: its defaults where the recipe says nothing."""

# pyright: reportMissingImports=false, reportPrivateImportUsage=false
from datasets import Dataset
from peft import LoraConfig
from task import TASK, clock, rows, sft_arguments
from trl import SFTConfig, SFTTrainer

trainer = SFTTrainer(
    model=TASK["model"],
    args=SFTConfig(
        **sft_arguments(), bf16=TASK["dtype"] == "bfloat16", model_init_kwargs={"dtype": TASK["dtype"]}, use_cpu=True
    ),
    train_dataset=Dataset.from_list(rows()),
    peft_config=LoraConfig(
        r=TASK["rank"], lora_alpha=TASK["alpha"], target_modules="all-linear", task_type="CAUSAL_LM"
    ),
    callbacks=[clock()],
)
trainer.train()
trainer.save_model(TASK["output"] + "/adapter")
