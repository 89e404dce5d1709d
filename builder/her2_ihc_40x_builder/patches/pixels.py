"""An RGB image in memory: uint8, (height, width, 3), red first; and the colour of its glass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, OptionError

#: uint8 pixels of shape (height, width, 3), red first.
Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class White:
    """The colour of bare glass, in levels from above 0 to 255 (not rounded).

    Raises:
        OptionError: a channel is outside that range, or not a number.
    """

    red: float
    green: float
    blue: float

    def __post_init__(self) -> None:
        if not all(0 < level <= 255 for level in self.levels):
            found = ",".join(f"{level:g}" for level in self.levels)
            raise OptionError("white point", "three levels above 0 and up to 255", found, "Give it as --white R,G,B.")

    @property
    def levels(self) -> tuple[float, float, float]:
        """Red, green, blue."""
        return self.red, self.green, self.blue

    def __str__(self) -> str:
        return "/".join(f"{level:.1f}" for level in self.levels)


def check_rgb(image: NDArray[np.generic], subject: str = "image") -> None:
    """Refuse what is no RGB image: another type, number of channels, or no pixel at all.

    Args:
        image: the array to look at.
        subject: what the message calls it.

    Raises:
        ImageError: it is not uint8 of shape (height, width, 3), or it is empty.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError(
            subject,
            "uint8 pixels of shape (height, width, 3)",
            f"{image.dtype} of shape {image.shape}",
            "Convert it to 8-bit RGB first.",
        )
