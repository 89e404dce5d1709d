"""`her2-ihc-40x diff`: what is different between two data sets."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence

from her2_ihc_40x import CLASSES, one_line

from ..hub.diff import Difference, Patch, compare, open_edition, other_columns
from .arguments import positive

_SHOWN = 20


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "diff",
        help="compare two data sets or versions",
        description="Say which slides and patches B has otherwise than A: added, removed, relabelled, moved between "
        "splits, or with another image or other columns. Only files that differ by the manifests are opened, and no "
        "image is read: `verify` says whether a file is what its manifest says, `audit` if a patch is there twice.",
    )
    for name in ("a", "b"):
        parser.add_argument(name, metavar=name.upper(), help="a folder, or NAMESPACE/NAME@REVISION on the Hub")
    parser.add_argument("--show", type=positive, default=_SHOWN, help="lines of each kind (%(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare, and print."""
    difference = compare(open_edition(arguments.a), open_edition(arguments.b))
    for title, lines in _sections(difference):
        print(f"{title}: {len(lines)}")
        for line in lines[: arguments.show]:
            print(f"  {one_line(line)}")
        if len(lines) > arguments.show:
            print(f"  and {len(lines) - arguments.show} more")
    return 0


def _sections(difference: Difference) -> Iterator[tuple[str, Sequence[str]]]:
    units = difference.units
    yield "slides or blocks added", units.added
    yield "slides or blocks removed", units.removed
    yield "slides or blocks changed", units.changed
    for kind, patches in (("added", difference.added), ("removed", difference.removed)):
        yield f"patches {kind}{_by_class(patches)}", [f"{patch.patch_id} ({patch.label})" for patch in patches]
    yield "patches relabelled", [f"{old.patch_id}: {old.label} -> {new.label}" for old, new in difference.relabelled]
    yield "patches moved", [f"{old.patch_id}: {_move(old, new)}" for old, new in difference.moved]
    yield "patches with another image", [old.patch_id for old, _ in difference.redrawn]
    columns = {old.patch_id: other_columns(old, new) for old, new in difference.redescribed}
    counts = Counter(name for names in columns.values() for name in names)
    told = f" ({', '.join(f'{name}: {count}' for name, count in sorted(counts.items()))})" if counts else ""
    yield f"patches with other columns{told}", [f"{name}: {', '.join(names)}" for name, names in columns.items()]
    if difference.doubled:
        lines = [f"{name}: {before} in A, {after} in B" for name, before, after in difference.doubled]
        yield "ids of more than one patch, not compared (see `her2-ihc-40x audit`)", lines


def _by_class(patches: Sequence[Patch]) -> str:
    counts = Counter(patch.label for patch in patches)
    return f" ({', '.join(f'{label}: {counts[label]}' for label in CLASSES if counts[label])})" if counts else ""


def _move(old: Patch, new: Patch) -> str:
    sides = (("wsi_split", old.sides.wsi, new.sides.wsi), ("patch_split", old.sides.patch, new.sides.patch))
    return ", ".join(f"{config} {before} -> {after}" for config, before, after in sides if before != after)
