"""`her2-ihc-40x doctor`: whether the installation can do what is asked of it."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from .arguments import path

_BASE = ("datasets", "huggingface_hub", "numpy", "pillow", "pyarrow", "fsspec")
_BUILD = ("openslide", "tifffile", "simplejpeg", "cv2", "isal", "shapely", "defusedxml", "imagecodecs")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "doctor",
        help="check the installation",
        description="Show versions, codecs, disk and memory, and try the parts that hang on system libraries. Exit "
        "code 1: something that `pack` or `build` needs does not work.",
    )
    parser.add_argument("folder", type=path, nargs="?", default=Path(), help="where the output would be (%(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check, and print a line for each."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("python", lambda: sys.version.split()[0]),
        *((name, lambda name=name: metadata.version(name)) for name in _BASE),
        *((name, lambda name=name: _imported(name)) for name in _BUILD),
        ("openslide library", _openslide),
        ("png codec", _png_codec),
        ("disk", lambda: f"{shutil.disk_usage(arguments.folder).free / 1e9:.1f} GB free in {arguments.folder}"),
        ("memory", _memory),
    ]
    broken = 0
    for name, check in checks:
        try:
            print(f"{name:<20}{check()}")
        except (ImportError, OSError, AttributeError, metadata.PackageNotFoundError) as error:
            broken += 1
            remedy = 'pip install "her2-ihc-40x[build]"' if name in (*_BUILD, "openslide library", "png codec") else ""
            print(f"{name:<20}missing or broken: {error or type(error).__name__}  {remedy}")
    return 1 if broken else 0


def _imported(name: str) -> str:
    return str(getattr(importlib.import_module(name), "__version__", "present"))


def _openslide() -> str:
    import openslide

    return str(openslide.__library_version__)


def _png_codec() -> str:
    from ..patches.encode import Encoding

    return Encoding().codec


def _memory() -> str:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return "unknown on this system"
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.1f} GB"
