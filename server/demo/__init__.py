"""The demo: a messy sample dataset and the whole way over stdio."""
