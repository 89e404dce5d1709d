"""Parquet files, the manifest that lists them, and how a folder appears whole or not at all."""
