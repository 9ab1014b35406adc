"""Answers against references."""
