"""Pseudonyms under a key, and ids that look identifying."""
