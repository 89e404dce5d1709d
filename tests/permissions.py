"""Be held back by permissions: root may read everything, unless it gives that up."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

Result = TypeVar("Result")

_ROOT = os.geteuid() == 0
needs_permissions = pytest.mark.skipif(_ROOT and sys.platform != "linux", reason="root may read everything")

#: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, which let root pass by permissions (linux/capability.h).
_PASSING = 1 << 1 | 1 << 2
_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    """Of the capabilities below 32; those above follow as a second one."""

    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def held_back(function: Callable[[], Result]) -> Result:
    """Call a function in a thread that reads, with those that it starts, only what permissions let it."""
    with ThreadPoolExecutor(1, initializer=_give_up if _ROOT else None) as pool:
        return pool.submit(function).result()


def _give_up() -> None:
    """Of this thread alone, and for good: what is only not in effect is still asked for by `os.access`."""
    header, sets = _Header(_VERSION_3, 0), (_Sets * 2)()
    libc = ctypes.CDLL(None, use_errno=True)
    for call in (libc.capget, libc.capset):
        if call(ctypes.byref(header), sets):
            raise OSError(ctypes.get_errno(), "capabilities")
        sets[0].effective &= ~_PASSING
        sets[0].permitted &= ~_PASSING
