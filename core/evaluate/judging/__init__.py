"""Blind judges: the assistant, people, or a model behind an endpoint."""
