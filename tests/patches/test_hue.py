from __future__ import annotations

import json
import random
from pathlib import Path

import cv2
import numpy as np
import openslide
import pytest
from hypothesis import given
from hypothesis import strategies as st

from her2_ihc_40x_builder.errors import Her2Error, ImageError
from her2_ihc_40x_builder.geometry import Box
from her2_ihc_40x_builder.patches.hue import (
    Candidate,
    HueReference,
    authors_references,
    choose_references,
    decide,
    hue_histogram,
    keeps,
    references_from_json,
    references_to_json,
    similarity,
)

SHARED = Path(__file__).resolve().parents[3] / "shared"


class Notebook:
    """The authors' recipe as described, from image files, knowing nothing of the module under test."""

    @staticmethod
    def histogram(path: Path) -> np.ndarray | None:
        image = cv2.imread(str(path))
        if image is None:
            return None
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        histogram = cv2.calcHist([hsv], [0], None, [180], [0, 180])
        cv2.normalize(histogram, histogram)
        return histogram

    @classmethod
    def reference(cls, paths: list[Path]) -> np.ndarray:
        number = min(20, len(paths))
        total = np.zeros(180, np.float32)
        for path in paths[:number]:
            histogram = cls.histogram(path)
            if histogram is not None:
                total += histogram.ravel()  # OpenCV 4 gives a column, OpenCV 5 a vector
        return total / number

    @classmethod
    def similarity(cls, path: Path, reference: np.ndarray) -> float:
        histogram = cls.histogram(path)
        assert histogram is not None
        return cv2.compareHist(histogram.ravel(), reference, cv2.HISTCMP_CORREL)


def check_against_notebook(patches: list[np.ndarray], folder: Path) -> list[float]:
    """Compare every number, one unreadable image among the references; return the similarities."""
    paths = []
    for index, patch in enumerate(patches):
        paths.append(folder / f"{index:03}.png")
        cv2.imwrite(str(paths[-1]), cv2.cvtColor(patch, cv2.COLOR_RGB2BGR))
    paths.insert(3, folder / "unreadable.png")
    paths[3].write_bytes(b"no image")
    histograms = [hue_histogram(patch) for patch in patches]
    with_gap = [*histograms[:3], None, *histograms[3:]]

    number = min(20, len(paths))
    names = authors_references([path.name for path in paths])
    assert len(names) == number
    reference = HueReference.of("2+", names, with_gap[:number])
    expected = Notebook.reference(paths)
    assert np.array_equal(np.array(reference.histogram, np.float32), expected)
    found = [similarity(histogram, reference) for histogram in histograms]
    assert found == [Notebook.similarity(path, expected) for path in paths if path.name != "unreadable.png"]
    return found


def test_generated_patches_give_the_notebooks_numbers(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    patches = [generator.integers(0, 256, (40, 56, 3), dtype=np.uint8) // (1, 1 + index % 4, 2) for index in range(26)]
    check_against_notebook([patch.astype(np.uint8) for patch in patches], tmp_path)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not there")
def test_real_patches_give_the_notebooks_numbers(tmp_path: Path) -> None:
    patches = []
    for path in sorted((SHARED / "real" / "WSI").glob("*/*.svs")):
        with openslide.OpenSlide(path) as slide:
            for x, y in ((1200, 2400), (2400, 1200), (2400, 2400), (0, 0)):
                patches.append(np.asarray(slide.read_region((x, y), 0, (512, 512)).convert("RGB")))
    similarities = check_against_notebook(patches, tmp_path)
    # Both sides of the threshold are there, or equal decisions would mean little.
    assert {keeps(value) for value in similarities} == {True, False}


def test_the_histogram_has_length_one_and_saves_hue_only() -> None:
    patch = np.zeros((8, 8, 3), np.uint8)
    patch[:] = (0, 255, 0)
    histogram = hue_histogram(patch)
    assert histogram.dtype == np.float32
    assert histogram.shape == (180,)
    assert histogram[60] == 1  # OpenCV halves degrees: green is 120
    assert histogram.sum() == 1
    with pytest.raises(ImageError):
        hue_histogram(np.zeros((8, 8), np.uint8))


def test_unreadable_references_count_in_the_divisor_and_alone_keep_everything() -> None:
    histogram = hue_histogram(np.full((4, 4, 3), (200, 30, 60), np.uint8))
    half = HueReference.of("0", ["a", "b"], [histogram, None])
    assert max(half.histogram) == 0.5
    assert similarity(histogram, HueReference.of("0", ["a"], [None])) == 1
    for ids in ([], ["a"]):
        with pytest.raises(ValueError, match="histograms for"):
            HueReference.of("0", ids, [])


def test_a_patch_at_the_threshold_goes() -> None:
    assert not keeps(0.7)
    assert keeps(np.nextafter(0.7, 1))


def candidates(per_slide: dict[str, int]) -> list[Candidate]:
    return [
        Candidate(f"{key}-{index}", key, Box(y=0, x=1024 * index, width=1024, height=1024))
        for key, count in per_slide.items()
        for index in range(count)
    ]


def test_references_are_taken_round_robin_over_slides() -> None:
    chosen = choose_references(candidates({"big": 100, "small": 2, "middle": 10}), seed=0)
    assert len(chosen) == 20
    counts = {key: sum(candidate.slide_key == key for candidate in chosen) for key in ("big", "small", "middle")}
    assert counts == {"big": 9, "small": 2, "middle": 9}
    assert len({candidate.slide_key for candidate in chosen[:3]}) == 3
    assert (
        choose_references(candidates({"one": 5}), seed=0, count=3) == choose_references(candidates({"one": 5}), 0)[:3]
    )
    assert choose_references([], seed=0) == ()


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 30), max_size=6), st.integers(0, 5), st.randoms())
def test_references_hang_on_content_alone(per_slide: dict[str, int], seed: int, shuffle: random.Random) -> None:
    pool = candidates(per_slide)
    chosen = choose_references(pool, seed)
    shuffle.shuffle(pool)
    assert choose_references(pool, seed) == chosen
    renamed = [Candidate(f"other {c.patch_id}", c.slide_key, c.window) for c in pool]
    places = [(c.slide_key, c.window) for c in chosen]
    assert [(c.slide_key, c.window) for c in choose_references(renamed, seed)] == places


ENOUGH = candidates({"a": 7, "b": 7, "c": 6})
TYPICAL, ODD = 0.9, 0.5


def test_drop_needs_20_references_from_3_slides_and_a_loss_under_20_per_cent() -> None:
    good = decide("drop", "1+", ENOUGH, [TYPICAL] * 81 + [ODD] * 19)
    assert good.drops
    assert good.reason == "drops; 19 of 100 patches are at or below 0.7"
    few = decide("drop", "1+", ENOUGH[:19], [TYPICAL] * 100)
    assert not few.drops
    assert "19 reference patches, under 20" in few.reason
    one_slide = decide("drop", "1+", candidates({"a": 10, "b": 10}), [TYPICAL] * 100)
    assert not one_slide.drops
    assert "from 2 slides, under 3" in one_slide.reason
    much = decide("drop", "1+", ENOUGH, [TYPICAL] * 80 + [ODD] * 20)
    assert not much.drops
    assert "20 of 100" in much.reason


def test_other_modes() -> None:
    losing = [ODD] * 10
    assert decide("authors", "0", [], losing).drops
    assert not decide("report", "0", ENOUGH, losing).drops
    assert "10 of 10" in decide("report", "0", ENOUGH, losing).reason
    assert not decide("off", "0", ENOUGH, losing).drops
    assert decide("drop", "0", ENOUGH, []).drops  # nothing to lose
    with pytest.raises(Her2Error, match="--hue-filter"):
        decide("on", "0", ENOUGH, losing)  # type: ignore[arg-type]


@given(st.integers(0, 2**32), st.sampled_from([None, "train", "test"]))
def test_references_go_to_json_and_back_without_loss(seed: int, split: str | None) -> None:
    levels = np.random.default_rng(seed).random(180, np.float32) ** 9
    reference = HueReference.of("3+", ["p1", "p2"], [levels, None], split)
    document = json.loads(json.dumps(references_to_json([reference])))
    assert list(document) == ["3+" if split is None else f"{split}/3+"]
    assert references_from_json(document) == (reference,)


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {},
        {"patch_ids": ["a"]},
        {"patch_ids": [1], "histogram": [0.0] * 180},
        {"patch_ids": "ab", "histogram": [0.0] * 180},
        {"patch_ids": ["a"], "histogram": [0.0] * 179},
        {"patch_ids": ["a"], "histogram": [float("nan")] * 180},
        {"patch_ids": ["a"], "histogram": ["x"] * 180},
        {"patch_ids": ["a"], "histogram": [10**400] * 180},
    ],
)
def test_broken_references_are_refused_by_name(entry: object) -> None:
    with pytest.raises(Her2Error, match=r"manifest\.json: 3\+"):
        references_from_json({"3+": entry}, "manifest.json")
