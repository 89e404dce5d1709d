"""Which patches of the two variants are one row."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from her2_ihc_40x import CLASSES, SPLITS, Blob, ReleasePatch
from her2_ihc_40x_builder.variants import Matching, match_variants


def patch(config: str, split: str, label: str, score: str, side: str, number: int) -> ReleasePatch:
    name = f"her2-{score}-score_{side}_{number:02d}.png"
    return ReleasePatch(config, split, label, score, side, number, Blob(f"{config}/{split}/{label}/{name}", "x", 1))


def match(*entries: tuple[str, ReleasePatch]) -> Matching:
    patches: dict[str, list[ReleasePatch]] = {}
    for _, one in entries:
        patches.setdefault(one.config, []).append(one)
    return match_variants(patches, {one: content for content, one in entries})


def rows(matching: Matching) -> list[tuple[str, str, str, str]]:
    return [(row.patch_id, row.patch.label, row.sides.wsi, row.sides.patch) for row in matching.patches]


def test_one_image_in_both_variants_is_one_row_whatever_its_name() -> None:
    matching = match(
        ("a", patch("patch_split", "test", "0", "0", "train", 1)),
        ("a", patch("wsi_split", "train", "0", "0", "train", 7)),
        ("b", patch("patch_split", "train", "0", "0", "train", 2)),
        ("c", patch("wsi_split", "train", "0", "0", "train", 3)),
    )
    assert rows(matching) == [
        ("her2-0-score_train_01", "0", "train", "test"),
        ("her2-0-score_train_02", "0", "none", "train"),
        ("her2-0-score_train_03", "0", "train", "none"),
    ]
    assert matching.disagreements == ()


def test_two_labels_are_two_rows_and_reported() -> None:
    matching = match(
        ("a", patch("patch_split", "train", "1+", "0", "train", 1)),
        ("a", patch("wsi_split", "train", "0", "0", "train", 1)),
    )
    assert rows(matching) == [
        ("her2-0-score_train_01", "1+", "none", "train"),
        ("her2-0-score_train_01.wsi", "0", "train", "none"),
    ]
    assert matching.disagreements == (
        ("patch_split/train/1+/her2-0-score_train_01.png", "wsi_split/train/0/her2-0-score_train_01.png"),
    )


def test_duplicates_in_a_variant_stay_and_names_pair_them() -> None:
    matching = match(
        ("a", patch("patch_split", "train", "0", "0", "train", 1)),
        ("a", patch("patch_split", "test", "0", "0", "train", 2)),
        ("a", patch("wsi_split", "train", "0", "0", "train", 2)),
    )
    assert rows(matching) == [
        ("her2-0-score_train_01", "0", "none", "train"),
        ("her2-0-score_train_02", "0", "train", "test"),
    ]
    assert matching.duplicates == 1


def test_one_variant_alone() -> None:
    matching = match(("a", patch("wsi_split", "test", "3+", "3+", "test", 4)))
    assert rows(matching) == [("her2-3+-score_test_04", "3+", "test", "none")]


entries = st.lists(
    st.tuples(
        st.sampled_from(["patch_split", "wsi_split"]),
        st.sampled_from(SPLITS),
        st.sampled_from(CLASSES[:2]),
        st.integers(1, 12),
        st.sampled_from("abc"),
    ),
    unique_by=lambda entry: (entry[0], entry[3]),
    max_size=20,
)


@given(entries)
def test_no_patch_is_lost_or_doubled(drawn: list[tuple[str, str, str, int, str]]) -> None:
    given_patches = [
        (content, patch(config, split, label, "0", "train", number)) for config, split, label, number, content in drawn
    ]
    matching = match(*given_patches)
    expected = Counter((one.config, one.split, one.label) for _, one in given_patches)
    found: Counter[tuple[str, str, str]] = Counter()
    for row in matching.patches:
        for config, side in (("wsi_split", row.sides.wsi), ("patch_split", row.sides.patch)):
            if side != "none":
                found[config, side, row.patch.label] += 1
    assert found == expected
    ids = [row.patch_id for row in matching.patches]
    assert len(set(ids)) == len(ids)
    # As few rows as the multisets allow.
    contents = {one: content for content, one in given_patches}
    groups = Counter((contents[one], one.label, one.config) for _, one in given_patches)
    fewest = sum(
        max(groups[content, label, "wsi_split"], groups[content, label, "patch_split"])
        for content in "abc"
        for label in CLASSES[:2]
    )
    assert len(ids) == fewest
