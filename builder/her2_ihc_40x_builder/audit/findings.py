"""What an audit says: for each config and check one finding, whether something was found or not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from her2_ihc_40x import SPLITS

from ..shards.manifest import Manifest
from .prints import Print

#: Of a check in one config: enough to take out what leaks in all of the release and more; people are shown few.
MAX_EXAMPLES = 100_000
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
        examples: patch ids (or slide, patient ids) of all, up to `MAX_EXAMPLES`: one, or those that belong together,
            of a leak the test side's first.
        left_out: how many examples there are beyond that.
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
    left_out: int = 0
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
            "examples_left_out": self.left_out,
        }


@dataclass(frozen=True)
class Subject:
    """The patches of one config, and what the checks need to know of the data set.

    Args:
        config: its name.
        prints: the patches in it, in path order.
        manifest: of the data set.
        cases: slide id -> patient, where known.
        everything: the patches of both configs.
    """

    config: str
    prints: Sequence[Print]
    manifest: Manifest
    cases: Mapping[str, str]
    everything: Sequence[Print]

    def side(self, patch: Print) -> str:
        """The side that a patch is on."""
        return patch.sides.wsi if self.config == "wsi_split" else patch.sides.patch

    @cached_property
    def split(self) -> dict[str, list[Print]]:
        """The patches of each side."""
        return {name: [patch for patch in self.prints if self.side(patch) == name] for name in SPLITS}

    @property
    def one_sided(self) -> str | None:
        """Why nothing can be said of one side against the other, if a side is empty."""
        return next((f"no patch is on the {name} side" for name in SPLITS if not self.split[name]), None)

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
    examples = groups_found([(patch.patch_id,) for patch in found])
    return Finding(subject.config, check, promise, len(found), len(subject.prints), **examples, **more)


def pairs_found(pairs: Sequence[Pair], twins: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """Pairs, the worst first, as the fields of a finding.

    Args:
        pairs: those that may be shown.
        twins: ids of further pairs, which look as one of these does.
    """
    shown = [(pair.left.patch_id, pair.right.patch_id) for pair in pairs]
    return {**groups_found([*shown, *twins]), "pairs": tuple(pairs[:_PAIRS])}


def names_found(names: Collection[str]) -> dict[str, Any]:
    """Slides or patients, as the fields of a finding."""
    return groups_found([(name,) for name in sorted(names)])


def groups_found(groups: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    """Ids that belong together, as the fields of a finding."""
    return {"examples": tuple(groups[:MAX_EXAMPLES]), "left_out": max(0, len(groups) - MAX_EXAMPLES)}


Check = Callable[[Subject], Iterator[Finding]]
