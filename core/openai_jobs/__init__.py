"""Hosted fine-tuning through the OpenAI API."""
