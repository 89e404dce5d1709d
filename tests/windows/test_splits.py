from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from her2_ihc_40x import CLASSES
from her2_ihc_40x_builder.errors import Her2Error, LabelError, SlideError
from her2_ihc_40x_builder.geometry import Box
from her2_ihc_40x_builder.windows.overlap import first_joined, leaking
from her2_ihc_40x_builder.windows.splits import SplitSlide, given_wsi_sides, patch_sides, read_splits, wsi_sides

fractions = st.sampled_from([0.1, 0.2, 0.25, 0.5, 0.9])


def slides_of(specification: Sequence[tuple[str, str | None]]) -> list[SplitSlide]:
    return [SplitSlide(f"S{i}", f"key{i}", score, case) for i, (score, case) in enumerate(specification)]


anonymous = st.lists(st.tuples(st.sampled_from(CLASSES), st.none()), max_size=30).map(slides_of)
with_cases = st.lists(
    st.tuples(st.sampled_from(CLASSES), st.sampled_from([None, "A", "B", "C", "D"])), max_size=30
).map(slides_of)


def plain(score: str, count: int) -> list[SplitSlide]:
    return slides_of([(score, None)] * count)


@pytest.mark.parametrize(
    ("count", "fraction", "test"),
    [
        (1, 0.2, 0),
        (2, 0.2, 1),
        (5, 0.1, 1),
        (12, 0.2, 2),  # 2.4
        (13, 0.2, 3),  # 2.6
        (25, 0.1, 3),  # 2.5: halves go up, to 3; to even would be 2
        (50, 0.29, 15),  # 14.5, which binary fractions make 14.499...
        (2, 0.9, 1),  # one stays in train
    ],
)
def test_how_many_go_to_test(count: int, fraction: float, test: int) -> None:
    sides = wsi_sides(plain("2+", count), fraction).sides
    assert list(sides.values()).count("test") == test


def test_a_single_slide_of_a_score_goes_to_train_with_a_warning() -> None:
    found = wsi_sides(slides_of([("0", None), ("3+", None), ("3+", None)]))
    assert found.sides["key0"] == "train"
    assert found.warnings == ("score 0 has one slide or patient only (S0): it is in train.",)


def test_the_release_would_have_about_a_fifth_of_each_score() -> None:
    slides = slides_of([(score, None) for score, n in zip(CLASSES, (23, 26, 27, 31), strict=True) for _ in range(n)])
    sides = wsi_sides(slides).sides
    tests = [sum(sides[s.key] == "test" for s in slides if s.score == score) for score in CLASSES]
    assert tests == [5, 5, 5, 6]


@given(with_cases, fractions, st.integers(0, 3), st.randoms())
def test_names_and_order_move_nothing(
    slides: list[SplitSlide], fraction: float, seed: int, shuffle: random.Random
) -> None:
    sides = wsi_sides(slides, fraction, seed).sides
    renamed = [SplitSlide(f"x{s.slide_id}", s.key, s.score, s.case_id and f"patient {s.case_id[::-1]}") for s in slides]
    shuffle.shuffle(renamed)
    assert wsi_sides(renamed, fraction, seed).sides == sides
    assert list(wsi_sides(renamed, fraction, seed).sides) == sorted(s.key for s in slides)


@given(with_cases, fractions)
def test_a_patient_is_never_divided(slides: list[SplitSlide], fraction: float) -> None:
    sides = wsi_sides(slides, fraction).sides
    by_case = defaultdict(set)
    for slide in slides:
        if slide.case_id is not None:
            by_case[slide.case_id].add(sides[slide.key])
    assert all(len(found) == 1 for found in by_case.values())


def test_a_patients_score_is_the_highest_of_its_slides() -> None:
    # Four patients of 3+, each with a slide of 0 too: one patient to test; by slide it would be one of each score.
    slides = slides_of([(score, case) for case in "ABCD" for score in ("0", "3+")])
    sides = wsi_sides(slides).sides
    assert list(sides.values()).count("test") == 2


@given(anonymous, st.sampled_from(CLASSES), fractions, st.integers(0, 3))
def test_a_new_slide_moves_at_most_one_other_and_in_its_own_score(
    slides: list[SplitSlide], score: str, fraction: float, seed: int
) -> None:
    before = wsi_sides(slides, fraction, seed).sides
    after = wsi_sides([*slides, SplitSlide("new", "new", score)], fraction, seed).sides
    moved = [slide for slide in slides if before[slide.key] != after[slide.key]]
    assert len(moved) <= 1
    assert all(slide.score == score for slide in moved)


@given(with_cases, st.sampled_from(CLASSES), st.sampled_from("ABCDE"), fractions)
def test_a_new_slide_of_a_patient_moves_that_patient_and_at_most_one_unit_in_each_of_two_scores(
    slides: list[SplitSlide], score: str, case: str, fraction: float
) -> None:
    before = wsi_sides(slides, fraction).sides
    after = wsi_sides([*slides, SplitSlide("new", "new", score, case)], fraction).sides
    old_score = max((s.score for s in slides if s.case_id == case), key=CLASSES.index, default=score)
    moved = {s.case_id or s.key: s for s in slides if before[s.key] != after[s.key] and s.case_id != case}
    strata = [
        max((s.score for s in slides if (s.case_id or s.key) == unit), key=CLASSES.index) for unit in sorted(moved)
    ]
    assert len(strata) == len(set(strata))
    assert set(strata) <= {old_score, max(old_score, score, key=CLASSES.index)}


@given(with_cases, st.data(), fractions, st.integers(0, 3))
def test_with_previous_nothing_known_moves(
    slides: list[SplitSlide], data: st.DataObject, fraction: float, seed: int
) -> None:
    # The earlier build knew some whole patients, under another seed and fraction.
    cases = sorted({s.case_id or s.key for s in slides})
    known = data.draw(st.sets(st.sampled_from(cases)) if cases else st.just(set()))
    earlier = [s for s in slides if (s.case_id or s.key) in known]
    previous = wsi_sides(earlier, 0.5, seed + 1).sides
    found = wsi_sides(slides, fraction, seed, {**previous, "gone": "test"}).sides
    assert {key: found[key] for key in previous} == previous
    assert set(found) == {s.key for s in slides}
    assert wsi_sides(slides, fraction, seed, found).sides == found


def test_a_new_slide_joins_its_patient_and_a_divided_patient_is_refused() -> None:
    slides = slides_of([("0", "A"), ("0", "A"), ("0", None), ("0", None)])
    for side in ("train", "test"):
        assert wsi_sides(slides, previous={"key0": side}).sides["key1"] == side
    with pytest.raises(LabelError, match=r"patient A: expected one side.*S0 in train and S1 in test"):
        wsi_sides(slides, previous={"key0": "train", "key1": "test"})


def test_new_slides_fill_the_test_side_up_and_no_further() -> None:
    slides = plain("1+", 10)
    full = wsi_sides(slides, 0.2, previous={"key0": "test", "key1": "test", "key2": "test"}).sides
    assert list(full.values()).count("test") == 3
    short = wsi_sides(slides, 0.2, previous={f"key{i}": "train" for i in range(8)}).sides
    assert short["key8"] == short["key9"] == "test"


@pytest.mark.parametrize("fraction", [0, 1, -0.2, 1.5, float("nan"), float("inf")])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(Her2Error, match="--test-fraction"):
        wsi_sides([], fraction)
    with pytest.raises(Her2Error, match="--test-fraction"):
        patch_sides("key", [], fraction)


def test_twins_and_unknown_scores_are_refused() -> None:
    with pytest.raises(SlideError, match="slides S1 and S2"):
        wsi_sides([SplitSlide("S1", "same", "0"), SplitSlide("S2", "same", "0")])
    with pytest.raises(LabelError, match=r"slide S1.*0\+"):
        wsi_sides([SplitSlide("S1", "k", "0+")])


def test_given_sides() -> None:
    slides = slides_of([("0", "A"), ("0", "A"), ("0", None)])
    found = given_wsi_sides(slides, {"S0": "test", "S1": "test", "S2": "train", "S9": "train"})
    assert found.sides == {"key0": "test", "key1": "test", "key2": "train"}
    assert found.warnings == ("--splits names 1 slides that are not there: S9.",)
    with pytest.raises(LabelError, match="slide S2: expected a side"):
        given_wsi_sides(slides, {"S0": "test", "S1": "test"})
    with pytest.raises(LabelError, match="patient A"):
        given_wsi_sides(slides, {"S0": "test", "S1": "train", "S2": "train"})


boxes = st.builds(Box, y=st.integers(0, 5000), x=st.integers(0, 5000), width=st.just(1024), height=st.just(1024))


@given(st.lists(boxes, max_size=20), fractions, st.randoms())
def test_no_pixel_is_on_both_sides_and_order_moves_nothing(
    windows: list[Box], fraction: float, shuffle: random.Random
) -> None:
    sides = patch_sides("key", windows, fraction)
    assert leaking(windows, sides) is None
    pairs = list(zip(windows, sides, strict=True))
    shuffle.shuffle(pairs)
    assert patch_sides("key", [window for window, _ in pairs], fraction) == tuple(side for _, side in pairs)


@given(st.lists(boxes, max_size=20), boxes)
def test_a_new_window_moves_only_what_it_is_joined_to(windows: list[Box], new: Box) -> None:
    before = patch_sides("key", windows)
    after = patch_sides("key", [*windows, new])
    first = first_joined([*windows, new])
    for place in range(len(windows)):
        if before[place] != after[place]:
            assert first[place] == first[-1]


def test_overlapping_windows_may_part_only_as_the_authors_did() -> None:
    row = [Box(y=0, x=512 * i, width=1024, height=1024) for i in range(200)]
    assert len(set(patch_sides("key", row))) == 1
    authors = patch_sides("key", row, mode="authors")
    assert set(authors) == {"train", "test"}
    assert authors == tuple(patch_sides("key", [window])[0] for window in row)
    with pytest.raises(Her2Error, match="--patch-split"):
        patch_sides("key", row, mode="random")  # type: ignore[arg-type]


def test_the_fraction_is_met_over_many_windows_and_differs_between_slides_and_seeds() -> None:
    grid = [Box(y=1024 * (i // 60), x=1024 * (i % 60), width=1024, height=1024) for i in range(3600)]
    sides = patch_sides("key", grid)
    assert sides.count("test") / len(sides) == pytest.approx(0.2, abs=0.02)
    assert patch_sides("other", grid) != sides
    assert patch_sides("key", grid, seed=1) != sides


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_sides_from_a_csv(tmp_path: Path) -> None:
    slides = read_splits(write(tmp_path / "a.csv", "Slide ID;WSI-split;note\nS1;Train;x\nS2;test;\nS3;;\n"))
    assert slides.wsi == {"S1": "train", "S2": "test"}
    assert slides.patch == {}
    assert slides.ignored == ("note",)
    text = "slide_id,patch_id,wsi_split,patch_split\nS1,p1,train,test\nS1,p2,train,train\n"
    both = read_splits(write(tmp_path / "b.csv", text))
    assert both.wsi == {"S1": "train"}
    assert both.patch == {"p1": "test", "p2": "train"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slide_id,wsi_split\nS1,validation\n", "line 2.*validation"),
        ("slide_id,wsi_split\n,test\n", "line 2"),
        ("slide_id,wsi_split\nS1,test\nS1,train\n", "line 3.*one side for S1"),
        ("slide_id,wsi_split\n", "and a row"),
        ("slide_id,wsi_split\nS1,\n", "found only empty cells of a side"),
        ("slide_id\nS1\n", "wsi_split"),
        ("S1,test\n", "slide_id"),
    ],
)
def test_broken_csvs_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        read_splits(write(tmp_path / "splits.csv", text))
