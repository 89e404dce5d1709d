"""White points and fingerprints, and what is remembered of them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from shapely import MultiPolygon, Polygon, box

from drawn_slides import PATCH, Cohort
from her2_ihc_40x_builder.demo.drawing import GLASS
from her2_ihc_40x_builder.parallel import Processes
from her2_ihc_40x_builder.parameters import BuildInputs, BuildParameters
from her2_ihc_40x_builder.patches.survey import Survey, draw_mask, survey_slides
from her2_ihc_40x_builder.patches.white import White
from her2_ihc_40x_builder.plan import plan_build

ALONE = Processes(1)


def test_the_glass_of_each_slide_is_found_and_remembered(cohort: Cohort) -> None:
    slides = plan_build(BuildInputs(cohort.slides, cohort.regions), BuildParameters(patch_size=PATCH)).slides
    found = survey_slides(slides, None, {}, ALONE)
    entries = {}
    for slide, survey in found.items():
        assert isinstance(survey, Survey)
        assert survey.white is not None
        assert np.abs(np.array(survey.white.levels) - GLASS).max() <= 2
        entries[slide] = survey.to_entry() | {"white": [201, 202, 203]}  # what only an entry says
    entries["B"] = {**entries["B"], "surveyed": "otherwise"}
    entries["C"] = {**entries["C"], "white": "no levels"}
    again = survey_slides(slides, None, entries, ALONE)
    assert {slide: again[slide] for slide in "BC"} == {slide: found[slide] for slide in "BC"}
    assert all(isinstance(one := again[slide], Survey) and one.white == White(201, 202, 203) for slide in "AD")
    given = survey_slides(slides, White(230, 231, 232), entries, ALONE)
    assert all(isinstance(one, Survey) and one.white == White(230, 231, 232) for one in given.values())


def test_a_mask_has_the_shape_of_its_polygons() -> None:
    ring = Polygon(box(40, 0, 200, 160).exterior, [box(80, 40, 160, 120).exterior])
    mask = draw_mask([MultiPolygon([ring, box(240, 0, 300, 40)])], (50, 80), 4.0)
    assert mask.shape == (50, 80)
    assert mask[5, 15]
    assert not mask[20, 30]
    assert mask[5, 65]
    assert not mask[30, 65]


def test_a_mask_is_of_all_polygons_whatever_their_order() -> None:
    ring = Polygon(box(10, 10, 90, 90).exterior, [box(30, 30, 70, 70).exterior])
    shapes = [ring, box(40, 40, 60, 60), box(5, 20, 35, 40)]
    one_by_one = np.logical_or.reduce([draw_mask([shape], (100, 100), 1.0) for shape in shapes])
    assert one_by_one[50, 50]
    for some in permutations(shapes):
        assert (draw_mask(some, (100, 100), 1.0) == one_by_one).all()
