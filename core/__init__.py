"""The work itself: datasets, runs, models, reports. Imports neither `tools` nor `server`."""

if __name__ == "core":  # a second copy under a bare name would have other classes and miss every `except`
    raise ImportError("Import faion_finetuner.core; the folder itself is not a package root.")
