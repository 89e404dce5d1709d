"""The patch whose colours `reinhard` and `macenko` give to all others: a file that a user names."""

from __future__ import annotations

import numpy as np
from PIL import Image

from her2_ihc_40x import IMAGE_ERRORS

from ..errors import ImageError, MissingExtraError
from ..parameters import BuildParameters
from .intensity import fit_target

_MAX_SIDE = 8192
_REMEDY = "Give one patch with tissue in it, in PNG, JPEG or WebP."


def stain_target(parameters: BuildParameters) -> tuple[float, ...]:
    """Measure the stain reference of a build for `Intensity.target`; empty where none is needed.

    Raises:
        ImageError: no picture, too large, or without the stains that are to be measured.
        MissingExtraError: torchstain is not installed.
    """
    path, name = parameters.stain_reference, parameters.intensity
    if path is None or name not in ("reinhard", "macenko"):
        return ()
    try:
        with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as image:
            if max(image.size) > _MAX_SIDE:
                found = f"{image.width} x {image.height}"
                raise ImageError(str(path), f"at most {_MAX_SIDE} pixels a side", found, _REMEDY)
            pixels = np.asarray(image.convert("RGB"))
        return fit_target("reinhard" if name == "reinhard" else "macenko", pixels, parameters.white)
    except MissingExtraError:
        raise
    except ImageError as error:
        raise ImageError(str(path), error.expected, error.found, _REMEDY) from error
    except IMAGE_ERRORS as error:
        raise ImageError(str(path), "a stain reference that can be read", str(error), _REMEDY) from error
