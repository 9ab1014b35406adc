"""Runs: a folder that tells the truth and a worker that outlives the server."""
