"""What an audit says: for each config and check one finding, whether something was found or not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from her2_ihc_40x import SPLITS

from ..shards.manifest import Manifest
from .prints import Print

_EXAMPLES = 10
_PAIRS = 8


@dataclass(frozen=True)
class Pair:
    """Two patches to be shown side by side, the test side's first, and what is said of them."""

    left: Print
    right: Print
    caption: str


@dataclass(frozen=True)
class Finding:
    """The answer of one check for one config.

    Args:
        config: "wsi_split" or "patch_split".
        check: a short stable name.
        promise: what was tested, as a sentence.
        count: how many of `unit` are against it.
        of: out of how many.
        unit: what is counted.
        binding: whether this config of this data set promises it; if not, the count is only told.
        unknown: why it could not be tested; None if it was.
        note: more, in words.
        examples: patch ids (or slide, patient ids) of some: one, or those that belong together.
        pairs: the worst pairs of patches.
    """

    config: str
    check: str
    promise: str
    count: int
    of: int
    unit: str = "patches"
    binding: bool = True
    unknown: str | None = None
    note: str = ""
    examples: tuple[tuple[str, ...], ...] = ()
    pairs: tuple[Pair, ...] = field(default=(), repr=False)

    @property
    def status(self) -> str:
        """One of "broken", "told" (found, but not promised), "unknown" and "ok"."""
        if self.unknown is not None:
            return "unknown"
        if not self.count:
            return "ok"
        return "broken" if self.binding else "told"

    def to_json(self) -> dict[str, Any]:
        """The finding as `--json` prints it."""
        return {
            "config": self.config,
            "check": self.check,
            "promise": self.promise,
            "status": self.status,
            "count": self.count,
            "of": self.of,
            "unit": self.unit,
            "binding": self.binding,
            "unknown": self.unknown,
            "note": self.note,
            "examples": [list(example) for example in self.examples],
        }


@dataclass(frozen=True)
class Subject:
    """The patches of one config, and what the checks need to know of the data set.

    Args:
        config: its name.
        prints: the patches in it, in path order.
        manifest: of the data set.
        cases: slide id -> patient, where known.
    """

    config: str
    prints: Sequence[Print]
    manifest: Manifest
    cases: Mapping[str, str]

    def side(self, patch: Print) -> str:
        """The side that a patch is on."""
        return patch.sides.wsi if self.config == "wsi_split" else patch.sides.patch

    @cached_property
    def split(self) -> dict[str, list[Print]]:
        """The patches of each side."""
        return {name: [patch for patch in self.prints if self.side(patch) == name] for name in SPLITS}

    @property
    def regenerated(self) -> bool:
        """Whether it was built from slides, so that this project vouches for what is in it."""
        return self.manifest.source.get("kind") == "slides"

    @property
    def by_slide(self) -> bool:
        """Whether the config promises that slides keep to one side."""
        return self.config == "wsi_split"

    @property
    def by_pixel(self) -> bool:
        """Whether the config promises that no pixel is on both sides.

        The release's `patch_split` does not, nor does one that was built with `--patch-split authors`.
        """
        overlapping = self.manifest.parameters.get("patch_split") == "authors"
        return self.by_slide or (self.regenerated and not overlapping)


def patches_found(subject: Subject, check: str, promise: str, found: Sequence[Print], **more: Any) -> Finding:
    """A finding of single patches."""
    examples = tuple((patch.patch_id,) for patch in found[:_EXAMPLES])
    return Finding(subject.config, check, promise, len(found), len(subject.prints), examples=examples, **more)


def pairs_found(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The worst of pairs, as the fields of a finding."""
    examples = tuple((pair.left.patch_id, pair.right.patch_id) for pair in pairs[:_EXAMPLES])
    return {"examples": examples, "pairs": tuple(pairs[:_PAIRS])}


def names_found(names: Collection[str]) -> dict[str, Any]:
    """Slides or patients, as the fields of a finding."""
    return groups_found([(name,) for name in names])


def groups_found(groups: Collection[tuple[str, ...]]) -> dict[str, Any]:
    """Names that belong together, as the fields of a finding."""
    return {"examples": tuple(sorted(groups)[:_EXAMPLES])}


Check = Callable[[Subject], Iterator[Finding]]
