"""The recipe with Unsloth on a processor; its defaults where the recipe says nothing."""

# pyright: reportMissingImports=false, reportPrivateImportUsage=false
from task import MODULES, TASK, clock, rows, sft_arguments  # isort: skip - the clock starts first
from unsloth import FastLanguageModel  # isort: skip - it patches the others
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

model, tokenizer = FastLanguageModel.from_pretrained(
    TASK["model"], max_seq_length=TASK["longest"], dtype=None, load_in_4bit=False
)
model = FastLanguageModel.get_peft_model(
    model, r=TASK["rank"], lora_alpha=TASK["alpha"], lora_dropout=0, target_modules=MODULES, random_state=TASK["seed"]
)
trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    args=SFTConfig(**sft_arguments()),
    train_dataset=Dataset.from_list(rows()),
    callbacks=[clock()],
)
trainer.train()
trainer.save_model(TASK["output"] + "/adapter")
