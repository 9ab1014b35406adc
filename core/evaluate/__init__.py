"""Base and fine-tuned model on the same held-out rows, side by side."""
