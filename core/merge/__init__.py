"""Adapter into base, export to GGUF, and the proof that nothing was lost."""
