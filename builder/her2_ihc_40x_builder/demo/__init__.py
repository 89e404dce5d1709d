"""Drawn slides and a drawn twin of the release, and the demos that use them."""
