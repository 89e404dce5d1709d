"""Run Python as one whom permissions hold back: root may read everything, unless it gives that up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_HELD_BACK = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
needs_permissions = pytest.mark.skipif(
    _HELD_BACK != [] and shutil.which("setpriv") is None, reason="root may read everything"
)


def run_held_back(code: str, *arguments: Path) -> str:
    """The standard output of a piece of Python, which is ended by an error as any program is."""
    command = [*_HELD_BACK, sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
