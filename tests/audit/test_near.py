"""Copies of a patch are found, however they were altered, and nothing else is."""

from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from her2_ihc_40x import CLASSES

pytest.importorskip("cv2", reason="needs the extra [build]")

from her2_ihc_40x_builder.audit import near
from her2_ihc_40x_builder.audit.near import find_near
from her2_ihc_40x_builder.audit.texture import Texture, darkest, describe, shrink
from her2_ihc_40x_builder.demo.drawing import draw_patch
from her2_ihc_40x_builder.patches.pixels import Rgb
from planted import COPIES, MARKS, Spot, jpeg, with_scale_bar

SIZE = 384


def texture(pixels: Rgb, mirror: bool = True) -> Texture:
    return describe(darkest(shrink(np.ascontiguousarray(pixels))), mirror=mirror)


@dataclass(frozen=True)
class Drawn:
    """100 windows that share no pixel, and their textures."""

    spots: list[Spot]
    textures: list[Texture]


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    fields = [draw_patch(CLASSES[seed % 4], seed, 5 * SIZE) for seed in range(4)]
    places = list(itertools.product(range(5), repeat=2))
    spots = [Spot(field, x * SIZE, y * SIZE, SIZE) for field in fields for y, x in places]
    return Drawn(spots, [texture(spot.pixels) for spot in spots])


@pytest.mark.parametrize("kind", COPIES)
def test_95_of_100_copies_are_found(drawn: Drawn, kind: str) -> None:
    rng = np.random.default_rng(0)
    copies = [texture(COPIES[kind](spot, rng)) for spot in drawn.spots]
    matches = {(match.query, match.pool) for match in find_near(copies, drawn.textures)}
    assert sum((at, at) in matches for at in range(100)) >= 95
    if kind not in ("shifted", "all at once"):  # what is beside a window is no copy of it
        assert all(at == other for at, other in matches)


def test_no_window_is_taken_for_another(drawn: Drawn) -> None:
    assert [match for match in find_near(drawn.textures, drawn.textures) if match.query != match.pool] == []


@pytest.mark.shared
def test_no_real_window_is_taken_for_another(shared: Path) -> None:
    openslide = pytest.importorskip("openslide")
    textures = []
    for path in sorted((shared / "real" / "WSI").glob("*/*.svs"))[::4]:
        with openslide.OpenSlide(path) as slide:
            for x, y in itertools.product(range(1100, 3200, 1024), repeat=2):
                textures.append(texture(np.asarray(slide.read_region((x, y), 0, (1024, 1024)).convert("RGB"))))
    found = {(match.query, match.pool) for match in find_near(textures, textures)}
    assert all(query == pool for query, pool in found)
    assert len(found) > 0.9 * len(textures)


@pytest.mark.parametrize("mark", MARKS)
def test_patches_with_marks_are_not_taken_for_each_other(drawn: Drawn, mark: str) -> None:
    rng = np.random.default_rng(0)
    marked = [texture(MARKS[mark](spot.pixels, rng)) for spot in drawn.spots]
    assert [match for match in find_near(marked, marked) if match.query != match.pool] == []


@pytest.mark.parametrize("mark", MARKS)
def test_copies_with_marks_are_found(drawn: Drawn, mark: str) -> None:
    rng = np.random.default_rng(0)
    whole = [MARKS[mark](spot.pixels, rng) for spot in drawn.spots[:40]]
    copies = [texture(jpeg(np.ascontiguousarray(np.rot90(pixels)), 60)) for pixels in whole]
    matches = {(match.query, match.pool) for match in find_near(copies, [texture(pixels) for pixels in whole])}
    assert sum((at, at) in matches for at in range(40)) >= 38


def test_one_mark_on_all_patches_hides_no_shifted_copy(drawn: Drawn) -> None:
    copies = [texture(with_scale_bar(jpeg(spot.cut(112, 0), 60))) for spot in drawn.spots[:40]]
    marked = [texture(with_scale_bar(spot.pixels)) for spot in drawn.spots[:40]]
    matches = {(match.query, match.pool) for match in find_near(copies, marked)}
    assert sum((at, at) in matches for at in range(40)) >= 38


def test_a_match_says_how_two_patches_lie(drawn: Drawn) -> None:
    spot = Spot(drawn.spots[12].field, SIZE, SIZE, SIZE)
    original = texture(spot.pixels)
    (match,) = find_near([texture(spot.cut(96, 0))], [original])
    assert (match.turn, match.mirrored) == (0, False)
    assert match.shift == pytest.approx((0.25, 0), abs=0.01)
    assert match.overlap == pytest.approx(0.75, abs=0.03)
    (match,) = find_near([texture(np.rot90(spot.pixels[:, ::-1]))], [original])
    # A mirrored and turned image has two descriptions; either lays it on the original as a whole.
    assert match.mirrored
    assert match.shift == pytest.approx((0, 0), abs=0.01)
    assert match.likeness > 0.99


def test_little_in_common_is_no_copy(drawn: Drawn) -> None:
    spot = Spot(drawn.spots[0].field, 0, 0, SIZE)
    assert find_near([texture(spot.cut(round(0.9 * SIZE), 0))], [texture(spot.pixels)]) == []


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (64, 64), (200, 300)])
def test_glass_and_tiny_images_match_nothing(shape: tuple[int, int]) -> None:
    blank = texture(np.full((*shape, 3), 240, np.uint8))
    assert find_near([blank], [blank]) == []
    assert find_near([], [blank]) == find_near([blank], []) == []


def test_of_many_copies_of_one_patch_few_are_tried_and_none_is_missed(
    drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near, "_TRIES_A_QUERY", 5)
    matches = find_near(drawn.textures[:1] * 40, drawn.textures[:1] * 40)
    assert {match.query for match in matches} == set(range(40))
    assert len(matches) <= 5 * 40


@pytest.mark.parametrize("some", [5, 100])
def test_it_does_not_matter_how_many_are_compared_at_a_time(
    drawn: Drawn, monkeypatch: pytest.MonkeyPatch, some: int
) -> None:
    rng = np.random.default_rng(0)
    copies = [texture(COPIES["all at once"](spot, rng)) for spot in drawn.spots[:12]]
    expected = find_near(copies, drawn.textures)
    monkeypatch.setattr(near, "_QUERIES_AT_ONCE", some)
    monkeypatch.setattr(near, "_POOL_AT_ONCE", some)
    assert find_near(copies, drawn.textures) == expected


@dataclass(frozen=True)
class Repeated:
    """Textures without end, none of which is kept."""

    textures: list[Texture]
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, at: int) -> Texture:
        one = self.textures[at % len(self.textures)]
        corners = replace(one.corners, codes=np.roll(one.corners.codes, at, axis=1))
        return replace(one, corners=corners, mirrored=corners, relief=one.relief.copy())


def test_memory_does_not_grow_with_patches(drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "_QUERIES_AT_ONCE", 32)
    monkeypatch.setattr(near, "_POOL_AT_ONCE", 32)

    def peak(count: int) -> int:
        tracemalloc.start()
        find_near(Repeated(drawn.textures, count), Repeated(drawn.textures, count))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(256) < 1.3 * peak(64)


def test_a_query_needs_its_mirror_image(drawn: Drawn) -> None:
    with pytest.raises(ValueError, match="mirror"):
        find_near([texture(drawn.spots[0].pixels, mirror=False)], drawn.textures)
