"""An RGB image in memory: uint8, (height, width, 3), red first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from her2_ihc_40x_builder.errors import ImageError

#: uint8 pixels of shape (height, width, 3), red first.
Rgb = NDArray[np.uint8]


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
