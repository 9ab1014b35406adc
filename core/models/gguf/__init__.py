"""GGUF files: what they hold, their tokenizer, and llama.cpp to ask them with. Imports no torch."""
