"""The Model Evaluation Report."""
