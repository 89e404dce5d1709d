"""Checks for images that are there twice: the same bytes, the same pixels, the same tissue, or under two labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from .findings import Finding, Pair, Subject, pairs_found
from .near import Match, find_near
from .prints import Print
from .texture_file import StoredTexture, StoredTextures

#: Pixels a side of a patch below which what looks alike need not be the same tissue: docs/decisions.md.
_SMALLEST = 128
#: By fewer an image is found by luck.
_FEW_CORNERS = 4
_KINDS: Mapping[str, tuple[str, Callable[[Print], str]]] = {
    "bytes": ("file", lambda patch: patch.sha256),
    "pixels": ("pixels", lambda patch: patch.pixels),
}


def check_exact(subject: Subject) -> Iterator[Finding]:
    """The same image file, or the same pixels in another file, across the sides and within one."""
    for kind, (what, key) in _KINDS.items():
        groups = _groups(subject.prints, key)
        across = [pair for group in groups for pair in _across(subject, group, f"the same {what}")]
        within = [pair for group in groups for pair in _within(subject, group, f"the same {what}")]
        yield Finding(
            subject.config,
            f"same_{kind}_across",
            f"No image of the test side is on the training side too, by its {what}.",
            len(across),
            len(subject.split["test"]),
            unit="test patches",
            binding=subject.by_pixel,
            unknown=subject.one_sided,
            **pairs_found(across),
        )
        yield Finding(
            subject.config,
            f"same_{kind}_within",
            f"No image is twice on one side, by its {what}.",
            len(within),
            len(subject.prints),
            binding=subject.regenerated,
            **pairs_found(within),
        )


def check_labels(subject: Subject) -> Iterator[Finding]:
    """One image under two labels, on any side, or in this config and in the other one alone."""
    inside = {patch.place for patch in subject.prints}
    pairs = []
    for group in _groups(subject.everything, lambda patch: patch.pixels):
        first = next((patch for patch in group if patch.place in inside), None)
        if first is not None:
            others = [patch for patch in group if patch.label != first.label]
            pairs += [Pair(first, other, f"{first.label} and {other.label}") for other in others]
    yield Finding(
        subject.config,
        "labels",
        "No image is there under two labels.",
        len(pairs),
        len(subject.prints),
        **pairs_found(pairs),
    )


def check_near(subject: Subject) -> Iterator[Finding]:
    """Test patches whose tissue is on the training side too: recompressed, shifted, turned, mirrored or brighter."""
    test, train = (_by_pixels(subject.split[side]) for side in ("test", "train"))
    queries, pool = list(test), list(train)
    matches = find_near(_stored(test), _stored(train))
    matches = [match for match in matches if queries[match.query] != pool[match.pool]]
    matches.sort(key=lambda match: (-match.likeness * match.overlap, match))
    leaked = {queries[match.query] for match in matches}
    plain = sum(_texture(patches[0]).corners < _FEW_CORNERS for patches in (*test.values(), *train.values()))
    small = sum(_is_small(patch) for patch in subject.prints)
    pairs = [Pair(test[queries[m.query]][0], train[pool[m.pool]][0], _describe(m)) for m in matches]
    worst = {match.query: match.pool for match in reversed(matches)}  # of each query the first
    twins = [
        (twin.patch_id, train[pool[match]][0].patch_id)
        for query, match in sorted(worst.items())
        for twin in test[queries[query]][1:]
    ]
    other = sum(pair.left.label != pair.right.label for pair in pairs)
    notes = [f"{plain} images with hardly any structure (glass) match little or nothing"] if plain else []
    notes += [f"{len(pairs)} pairs, {other} of them of two labels"] if pairs else []
    too_small = f"of fewer than {_SMALLEST} pixels a side: too little is seen in them to tell tissue apart"
    notes += [f"{small:,} patches are {too_small}"] if small else []
    nothing_left = f"all patches of a side are {too_small}" if small and not (test and train) else None
    yield Finding(
        subject.config,
        "near_across",
        "No test patch shows tissue of a training patch: recompressed, brighter, quarter-turned, mirrored or shifted.",
        sum(len(test[key]) for key in leaked),
        len(subject.split["test"]),
        unit="test patches",
        binding=subject.by_pixel,
        unknown=subject.one_sided or nothing_left,
        note="; ".join(notes),
        **pairs_found(pairs, twins),
    )


def _groups(prints: Sequence[Print], key: Callable[[Print], str]) -> list[list[Print]]:
    groups: dict[str, list[Print]] = defaultdict(list)
    for patch in prints:
        groups[key(patch)].append(patch)
    return [group for group in groups.values() if len(group) > 1]


def _across(subject: Subject, group: Sequence[Print], caption: str) -> Iterator[Pair]:
    train = next((patch for patch in group if subject.side(patch) == "train"), None)
    if train is not None:
        yield from (Pair(patch, train, caption) for patch in group if subject.side(patch) == "test")


def _within(subject: Subject, group: Sequence[Print], caption: str) -> Iterator[Pair]:
    first: dict[str, Print] = {}
    for patch in group:
        earlier = first.setdefault(subject.side(patch), patch)
        if earlier is not patch:
            yield Pair(earlier, patch, caption)


def _by_pixels(prints: Sequence[Print]) -> dict[str, list[Print]]:
    """Patches in which tissue can be told, by their pixels: what is there many times is compared once."""
    groups: dict[str, list[Print]] = defaultdict(list)
    for patch in prints:
        if patch.texture is not None and not _is_small(patch):
            groups[patch.pixels].append(patch)
    return groups


def _is_small(patch: Print) -> bool:
    return patch.texture is not None and min(patch.image.width, patch.image.height) < _SMALLEST


def _stored(groups: Mapping[str, list[Print]]) -> StoredTextures:
    """One texture of each group."""
    return StoredTextures([_texture(patches[0]) for patches in groups.values()])


def _texture(patch: Print) -> StoredTexture:
    if patch.texture is None:
        raise ValueError(f"{patch.patch_id} was not read")
    return patch.texture


def _describe(match: Match) -> str:
    parts = [f"likeness {match.likeness:.2f}", f"{match.overlap:.0%} in both"]
    parts += ["mirrored"] if match.mirrored else []
    parts += [f"turned by {match.turn * 90}°"] if match.turn else []
    return ", ".join(parts)
