"""Textures of many patches in a file: memory does not grow with them.

The file has no name, so that nothing is left of it, however the process ends.
"""

from __future__ import annotations

import struct
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from .texture import Corners, Texture

#: Width and height of the overview, corners, those of the mirror image (-1: it was not described), rows and columns of
#: the relief. Its bytes follow, then those of the corners.
_HEAD = struct.Struct("<6i")


class TextureFile:
    """Where textures are put while patches are read, to be taken out again when they are compared; a context manager.

    It is in the folder for temporary files, some 8 kB a patch. Threads may use it at once.
    """

    def __init__(self) -> None:
        with _told():
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed by __exit__)
        self._lock = threading.Lock()
        self._end = 0

    def __enter__(self) -> TextureFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def put(self, texture: Texture) -> StoredTexture:
        """Store a texture.

        Raises:
            OutputError: there is no room for it.
        """
        data = b"".join(_to_bytes(texture))
        with self._lock, _told():
            start = self._end
            self._file.seek(start)
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
            self._end += len(data)
        return StoredTexture(self, start, len(data), len(texture.corners.codes))

    def take(self, start: int, size: int) -> Texture:
        """Read what was stored at a place.

        Raises:
            OutputError: it cannot be read.
        """
        with self._lock, _told():
            self._file.seek(start)
            return _from_bytes(self._file.read(size))


@dataclass(frozen=True, slots=True)
class StoredTexture:
    """A texture in a file.

    Args:
        file: in which it is.
        start, size: its bytes there.
        corners: how many it has.
    """

    file: TextureFile
    start: int
    size: int
    corners: int

    def read(self) -> Texture:
        """The texture; errors as of `TextureFile.take`."""
        return self.file.take(self.start, self.size)


@dataclass(frozen=True)
class StoredTextures:
    """Stored textures as a sequence of textures, each of which is read when it is asked for."""

    stored: Sequence[StoredTexture]

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, at: int) -> Texture:
        return self.stored[at].read()


def _to_bytes(texture: Texture) -> Iterator[bytes]:
    mirrored = texture.mirrored
    corners = [texture.corners] if mirrored is None else [texture.corners, mirrored]
    count = -1 if mirrored is None else len(mirrored.codes)
    yield _HEAD.pack(*texture.size, len(texture.corners.codes), count, *texture.relief.shape)
    yield texture.relief.tobytes()
    for one in corners:
        yield from (one.places.tobytes(), one.angles.tobytes(), one.codes.tobytes())


def _from_bytes(data: bytes) -> Texture:
    width, height, count, mirrored, rows, columns = _HEAD.unpack_from(data)
    at = _HEAD.size

    def take(kind: type[np.generic], *shape: int) -> NDArray[Any]:
        nonlocal at
        array = np.frombuffer(data, kind, int(np.prod(shape)), at).reshape(shape)
        at += array.nbytes
        return array

    def corners(count: int) -> Corners:
        return Corners(take(np.float32, count, 2), take(np.float32, count), take(np.uint8, count, 32))

    relief = take(np.int8, rows, columns)
    return Texture((width, height), corners(count), None if mirrored < 0 else corners(mirrored), relief)


@contextmanager
def _told() -> Iterator[None]:
    """Name the folder where its disk is full or fails."""
    try:
        yield
    except OSError as error:
        folder, found = tempfile.gettempdir(), error.strerror or repr(error)
        expected, remedy = (
            "room for what is known of each patch (8 kB)",
            "Free space there, or set TMPDIR to a larger disk.",
        )
        raise OutputError(folder, expected, found, remedy) from error
