"""What can go wrong while shards are made: each error says what, what was expected, what was found, what to do."""

from __future__ import annotations

from her2_ihc_40x import Her2Error

__all__ = [
    "Her2Error",
    "ImageError",
    "LabelError",
    "MissingExtraError",
    "OptionError",
    "OutputError",
    "RegionError",
    "SlideError",
]


class ImageError(Her2Error, ValueError):
    """A patch image that cannot be used: undecodable, of another size, mode or format."""


class LabelError(Her2Error, ValueError):
    """A class, score or slide id that no rule accepts, or two sources of one that disagree."""


class SlideError(Her2Error, ValueError):
    """A slide that cannot be used: unreadable, of unknown or wrong scale."""


class RegionError(Her2Error, ValueError):
    """A region that cannot be read, placed or tiled."""


class OutputError(Her2Error, OSError):
    """An output that cannot be written, or that must not be overwritten."""


class OptionError(Her2Error, ValueError):
    """An option that says what cannot be meant, alone or beside another: the command is not used rightly."""


class MissingExtraError(Her2Error, ImportError):
    """A command whose optional dependencies are not installed."""
