from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from her2_ihc_40x_builder.errors import SlideError
from her2_ihc_40x_builder.slides.scale import COARSEST_40X, FINEST_40X, Mpp, decide_scale, warn_of_spread


@pytest.mark.parametrize("mpp", [0.20, 0.2201, 0.25, 0.2528, 0.30])
def test_40x_is_taken_as_it_is(mpp: float) -> None:
    scale = decide_scale("a.svs", Mpp(mpp, mpp), 40)
    assert scale.mpp == pytest.approx(mpp)
    assert scale.factor == 1.0
    assert scale.warnings == ()


def test_an_unknown_scale_is_refused_with_the_remedy() -> None:
    with pytest.raises(SlideError, match=r"a\.svs.*--mpp 0\.25"):
        decide_scale("a.svs", None, 40)


def test_a_stated_magnification_does_not_stand_in_for_the_scale() -> None:
    with pytest.raises(SlideError):
        decide_scale("a.svs", None, 40, resample=True)


def test_a_20x_slide_is_refused_even_with_resample() -> None:
    with pytest.raises(SlideError, match="cannot be added"):
        decide_scale("a.svs", Mpp(0.5, 0.5), 20, resample=True)


def test_an_80x_slide_is_resampled_on_request_only() -> None:
    with pytest.raises(SlideError, match="--resample"):
        decide_scale("a.svs", Mpp(0.125, 0.125), 80)
    scale = decide_scale("a.svs", Mpp(0.125, 0.125), 80, resample=True)
    assert (scale.mpp, scale.factor) == (0.25, 2.0)


def test_an_override_replaces_and_says_so() -> None:
    scale = decide_scale("a.svs", Mpp(0.5, 0.5), None, override=0.25)
    assert scale.mpp == 0.25
    assert len(scale.warnings) == 1
    assert "the given mpp 0.25 replaces the 0.5" in scale.warnings[0]
    assert decide_scale("a.svs", None, None, override=0.25).warnings == ()


@pytest.mark.parametrize("override", [0.0, -0.25, math.nan, math.inf])
def test_a_senseless_override_is_refused(override: float) -> None:
    with pytest.raises(SlideError, match="above zero"):
        decide_scale("a.svs", Mpp(0.25, 0.25), 40, override=override)


def test_pixels_that_are_not_square_are_warned_of() -> None:
    assert "not square" in decide_scale("a.svs", Mpp(0.25, 0.26), 40).warnings[0]
    assert decide_scale("a.svs", Mpp(0.25, 0.2501), 40).warnings == ()


def test_a_magnification_that_disagrees_is_warned_of() -> None:
    assert "20x" in decide_scale("a.svs", Mpp(0.25, 0.25), 20).warnings[0]
    assert decide_scale("a.svs", Mpp(0.25, 0.25), None).warnings == ()


def test_a_spread_over_five_percent_is_warned_of() -> None:
    warning = warn_of_spread({"b": 0.27, "a": 0.25, "c": 0.26})
    assert warning is not None
    assert "a has 0.25" in warning
    assert "b has 0.27" in warning
    assert warn_of_spread({"a": 0.25, "b": 0.262}) is None
    assert warn_of_spread({}) is None


@given(st.floats(0.01, 10), st.floats(0.01, 10), st.booleans())
def test_whatever_is_accepted_is_40x_and_never_enlarged(x: float, y: float, resample: bool) -> None:
    try:
        scale = decide_scale("a.svs", Mpp(x, y), None, resample=resample)
    except SlideError:
        return
    assert FINEST_40X <= scale.mpp <= COARSEST_40X
    assert scale.factor >= 1.0
    assert scale.mpp == pytest.approx(Mpp(x, y).mean * scale.factor)
