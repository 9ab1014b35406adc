"""What lies behind the scores: lengths, labels, flips, leakage, learning by heart."""
