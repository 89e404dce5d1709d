"""Cutting one slide: all of its files, or an error and none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from drawn_slides import PATCH, Cohort, contents
from her2_ihc_40x_builder.errors import SlideError
from her2_ihc_40x_builder.parameters import BuildInputs, BuildParameters
from her2_ihc_40x_builder.patches.cut import CutSlide, CutTask, cut_slide, read_patch, read_patches
from her2_ihc_40x_builder.patches.encode import Encoding
from her2_ihc_40x_builder.patches.intensity import Intensity
from her2_ihc_40x_builder.patches.white import White
from her2_ihc_40x_builder.plan import plan_build
from her2_ihc_40x_builder.slides.slide import open_slide

WHITE = White(233, 232, 240)


@pytest.fixture
def task(cohort: Cohort, tmp_path: Path) -> CutTask:
    slide = plan_build(BuildInputs(cohort.slides, cohort.regions), BuildParameters(patch_size=PATCH)).slides[3]
    return CutTask(tmp_path / "tree", slide, WHITE, Intensity("none"), {}, 0.1, PATCH, Encoding())


def test_threads_change_no_byte(task: CutTask, tmp_path: Path) -> None:
    one = cut_slide(task)
    three = cut_slide(replace(task, root=tmp_path / "three", threads=3))
    assert isinstance(one, CutSlide)
    assert one == three
    assert contents(tmp_path / "tree") == contents(tmp_path / "three")
    assert [pq.read_metadata(task.root / shard.path).num_rows for shard in one.shards] == [s.rows for s in one.shards]
    assert sum(shard.rows for shard in one.shards) == len(one.kept) == 7
    assert all(patch.dab is not None and patch.dab > 0.1 for patch in one.kept)


def test_what_an_interrupted_run_left_is_replaced(task: CutTask) -> None:
    first = cut_slide(task)
    assert isinstance(first, CutSlide)
    path = task.root / first.shards[0].path
    path.write_bytes(b"half")
    assert cut_slide(task) == first


@pytest.mark.parametrize("threads", [1, 3])
def test_a_damaged_slide_is_an_error_and_leaves_nothing(own_cohort: Cohort, task: CutTask, threads: int) -> None:
    path = own_cohort.slide("D")
    data = bytearray(path.read_bytes())
    data[100_000:200_000] = bytes(100_000)
    path.write_bytes(data)
    result = cut_slide(replace(task, slide=replace(task.slide, path=path), threads=threads))
    assert isinstance(result, SlideError)
    assert "D.svs" in str(result)
    assert contents(task.root) == {}


def test_windows_of_glass_are_dropped_with_their_share(task: CutTask) -> None:
    result = cut_slide(replace(task, min_tissue=1.0, white=White(60, 60, 60)))
    assert isinstance(result, CutSlide)
    assert result.shards == ()
    assert {drop.reason for drop in result.dropped} == {"tissue"}
    assert all(drop.value < 1 for drop in result.dropped)
    unknown = cut_slide(replace(task, min_tissue=1.0, white=None))
    assert isinstance(unknown, CutSlide)
    assert len(unknown.kept) == 7
    assert {patch.dab for patch in unknown.kept} == {None}


def test_a_patch_with_too_little_stain_to_normalise_is_dropped_and_the_slide_goes_on(task: CutTask) -> None:
    target = (0.5, 0.3, 0.6, 0.6, 0.6, 0.7, 1.5, 1.0)
    bright = Intensity("macenko", White(60, 60, 60), target, accept_stain_loss=True)  # which makes all pixels glass
    result = cut_slide(replace(task, white=None, intensity=bright))
    assert isinstance(result, CutSlide)
    assert {drop.reason for drop in result.dropped} == {"stain"}


def test_one_patch_alone_is_the_same_patch(task: CutTask) -> None:
    with open_slide(task.slide.path) as slide:
        for patch, pixels in read_patches(slide, task.slide, PATCH):
            assert np.array_equal(pixels, read_patch(slide, patch, PATCH))
        assert read_patch(slide, task.slide.patches[0], 100).shape == (100, 100, 3)
