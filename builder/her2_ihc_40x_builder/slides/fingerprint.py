"""Which scan or export a slide is, by its files: without reading all of them, or surely."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..errors import SlideError

_SAMPLES, _SAMPLE_BYTES = 64, 1 << 16


def fingerprint(*files: Path) -> str:
    """A digest of files' sizes, ends and 64 samples between: it tells another scan or export.

    Names and order do not count.

    Raises:
        SlideError: one cannot be read.
    """
    marks = sorted(map(_fingerprint, files))
    return marks[0] if len(marks) == 1 else hashlib.sha256("".join(marks).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, 64 hex digits.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _fingerprint(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        size = path.stat().st_size
        digest.update(str(size).encode())
        with path.open("rb") as file:
            for sample in range(_SAMPLES):
                file.seek(max(0, size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    except OSError as error:
        found, remedy = error.strerror or repr(error), "Check the disk and the file's permissions."
        raise SlideError(str(path), "a readable file", found, remedy) from error
    return digest.hexdigest()
