"""Fine-tuning with LoRA, QLoRA or all weights."""
