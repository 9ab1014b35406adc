"""Whether the model still can what it could: built-in questions, and the gate over them and the benchmarks."""
