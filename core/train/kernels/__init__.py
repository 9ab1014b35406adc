"""Training on a processor with fewer passes over memory, and no arithmetic spent on padding; see `decoder.install`."""
