"""The command line: parses and prints, one module a command; what is done is in the rooms beside it."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import datasets

from her2_ihc_40x import Her2Error, __version__

from ..errors import MissingExtraError, OptionError, OutputError
from ..streams import ReaderGoneError, UnwritableError
from . import audit, build, card, demo, diff, doctor, fetch, pack, plan, publish, verify, versions
from .output import drop_output, watched_output

_COMMANDS = (fetch, pack, plan, build, card, verify, audit, publish, versions, diff, demo, doctor)
#: What `Path.resolve` says before Python 3.13; later it leaves such a link as it is.
_LOOP = "Symlink loop from "
_BUILD_EXTRA = ("cv2", "defusedxml", "imagecodecs", "openslide", "shapely", "simplejpeg", "tifffile")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: of the command line; by default the process's own.

    Returns:
        The exit code: 0 done; 1 an error, said on standard error, and under `--json` on standard output too; 2 a wrong
        use of the command line; 3 done, but slides are in quarantine.
    """
    parser = argparse.ArgumentParser(
        prog="her2-ihc-40x", description="Make, check and publish the HER2-IHC-40x data set for Hugging Face datasets."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(commands)
    parsed = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no reason to fail
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        with watched_output():
            return _run(parsed)
    except BrokenPipeError:  # whoever read standard error is gone
        drop_output()
        return 1
    except UnwritableError as error:
        drop_output()
        with suppress(OSError):  # standard error may have had the same reader
            print(f"her2-ihc-40x: {_cut_short(error)}", file=sys.stderr)
        return 1


def _unusable(path: str, found: str) -> OutputError:
    return OutputError(path, "a path that can be used", found, "Check the path, and the disk that it is on.")


def _cut_short(error: UnwritableError) -> OutputError:
    there = "What the command makes may be there already."
    if isinstance(error, ReaderGoneError):
        expected, found, remedy = "a reader to the end", "that it has gone", "Send the output to a file, and read that."
    else:
        expected, found, remedy = "room for what is printed", str(error), "Free the disk, or send the output elsewhere."
    return OutputError("standard output", expected, found, f"{remedy} {there}")


def _run(parsed: argparse.Namespace) -> int:
    said: Her2Error
    try:
        return int(parsed.run(parsed))
    except Her2Error as error:
        said = error
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in _BUILD_EXTRA:
            raise
        expected, remedy = f"the package {error.name}", 'Run: pip install "her2-ihc-40x[build]".'
        said = MissingExtraError("this command", expected, "none", remedy)
    except OSError as error:  # of a path that cannot be one, such as a name that is too long
        if error.filename is None:
            raise
        said = _unusable(os.fsdecode(error.filename), error.strerror or type(error).__name__)
    except RuntimeError as error:
        if not str(error).startswith(_LOOP):
            raise
        said = _unusable(str(error).removeprefix(_LOOP).strip("' "), "a link that leads to itself")
    if getattr(parsed, "json", False):
        parts = ("subject", "expected", "found", "remedy")
        told = {"type": type(said).__name__, **{part: getattr(said, part) for part in parts}}
        print(json.dumps({"error": told}, indent=2, ensure_ascii=True))
    print(f"her2-ihc-40x: {said}", file=sys.stderr)
    return 2 if isinstance(said, OptionError) else 1
