"""Fixtures that tests of several modules use."""

from hub_double import hub

__all__ = ["hub"]
