"""Hosted models: which provider, how it is asked, what can go wrong on the way, what it costs."""
