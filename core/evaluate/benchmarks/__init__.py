"""Benchmarks through lm-eval, also from their published files."""
