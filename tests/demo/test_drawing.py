from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from her2_ihc_40x import CLASSES
from her2_ihc_40x_builder.demo.drawing import GLASS, draw_field, draw_patch


def brownness(picture: NDArray[np.uint8]) -> float:
    """The 99th percentile of how much more blue than red light is taken, in optical density against glass."""
    density = -np.log10(np.maximum(picture, 1) / np.array(GLASS))
    return float(np.percentile(density[..., 2] - density[..., 0], 99))


@pytest.mark.parametrize("label", CLASSES)
def test_a_seed_gives_one_picture(label: str) -> None:
    picture = draw_patch(label, 7, 256)
    assert picture.shape == (256, 256, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, draw_patch(label, 7, 256))
    assert (picture != draw_patch(label, 8, 256)).any()


def test_more_brown_with_each_score() -> None:
    brown = [np.mean([brownness(draw_patch(label, seed, 512)) for seed in range(3)]) for label in CLASSES]
    assert brown == sorted(brown)
    assert brown[0] < 0.02
    assert brown[3] > 0.3
    assert all(b - a > 0.02 for a, b in itertools.pairwise(brown))


def test_where_there_is_no_tissue_there_is_glass() -> None:
    tissue = np.zeros((200, 300), dtype=np.uint8)
    tissue[:, 150:] = 255
    picture = draw_field("3+", 0, 300, 200, tissue)
    assert (picture[:, :150] == GLASS).all()
    assert (picture[:, 150:] != GLASS).any(axis=-1).mean() > 0.9


def test_odd_sizes() -> None:
    assert draw_field("1+", 0, 101, 33).shape == (33, 101, 3)


def test_another_label_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2\+/ISH"):
        draw_patch("2+/ISH-", 0)


def test_it_needs_numpy_and_pillow_only() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['cv2', 'openslide', 'tifffile', 'imagecodecs', 'scipy']));"
        "from her2_ihc_40x_builder.demo.drawing import draw_patch; draw_patch('3+', 0, 64)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
