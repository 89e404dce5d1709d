"""Versions on the Hub: verify, compare, publish."""
