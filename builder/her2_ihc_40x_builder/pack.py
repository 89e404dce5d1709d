"""Turn the release as downloaded into a folder of shards: each patch once, both configs."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from her2_ihc_40x import (
    IMAGE_ERRORS,
    MAX_MANIFEST_BYTES,
    Release,
    ReleaseError,
    ReleasePatch,
    blocks,
    check_image,
    open_release,
    release_row,
)

from .card.companions import write_companions
from .errors import ImageError, LabelError
from .parallel import default_workers, run_tasks
from .shards.files import Shard, UnitWriter
from .shards.made import made_data_set
from .shards.manifest import Manifest, count_labels
from .shards.staging import check_holds_none, staged_folder
from .tables import read_table
from .variants import MatchedPatch, Matching, match_variants

_HASH_BATCH = 64


@dataclass(frozen=True)
class PackOptions:
    """How a release is packed.

    Args:
        check: "decode" decodes every image once; "crc" trusts the zips' checksums and looks at headers.
        subset: accept other counts than the published ones.
        image_size: the width and height of every patch in pixels; None for any.
        slides: a CSV of patch_id, slide_id, which the release does not tell.
        licence: the data's licence, an id that the Hub knows; None for what source.json says, if it is there.
        workers: threads.
        overwrite: replace a data set of ours at the output's place.
    """

    check: Literal["decode", "crc"] = "decode"
    subset: bool = False
    image_size: int | None = 1024
    slides: Path | None = None
    licence: str | None = None
    workers: int = field(default_factory=default_workers)
    overwrite: bool = False


def pack_release(root: Path, out: Path, options: PackOptions | None = None) -> Manifest:
    """Write the shards, the card and the manifest of a release to `out`.

    The same release gives the same bytes, whatever the number of workers and the order of listings.

    Args:
        root: the release, as `her2_ihc_40x.open_release` takes it.
        out: the folder to make.
        options: see there.

    Raises:
        SourceError, ReleaseError, CountsError: the release is not there, damaged, or incomplete.
        ImageError: an image cannot be decoded.
        LabelError: the CSV of slides does not fit the release.
        OutputError: the output cannot be written, or is taken.
    """
    options = options or PackOptions()
    check_holds_none(out, (root,))
    with staged_folder(out, overwrite=options.overwrite, made_in=made_data_set) as tree:
        release = open_release(root, spool=tree.parent / "scratch", whole=not options.subset)
        if not options.subset:
            for config in release.patches:
                release.check_counts(config)
        hashes = _hash_all(release, options.workers)
        matching = match_variants(release.patches, hashes)
        slides = _read_slides(options.slides, matching) if options.slides else {}
        tasks = [
            _UnitTask(tree, unit, rows, slides.get(rows[0].patch_id), options)
            for unit, rows in _units(matching, slides)
        ]
        written = run_tasks(
            _write_unit,
            tasks,
            workers=options.workers,
            label="Packing",
            unit="patch",
            weight=lambda task: len(task.rows),
            threads=True,  # reading, hashing, decoding and writing leave Python; a process would import first
        )
        manifest = Manifest(
            shards=sorted(shard for unit in written for shard in unit.shards),
            counts=count_labels([(row.sides, row.patch.label) for row in matching.patches]),
            parameters={"check": options.check, "image_size": options.image_size, "subset": options.subset},
            source=_source(release.root, options.licence),
            units={task.unit: {"inputs": _inputs_digest(task.rows, hashes)} for task in tasks},
            report=_report(matching, written),
        )
        return write_companions(tree, manifest)


# --- Units --------------------------------------------------------------------------------------------------------


def _units(matching: Matching, slides: Mapping[str, str]) -> list[tuple[str, tuple[MatchedPatch, ...]]]:
    """The units, by name: a slide where it is known, else a block."""
    by_slide: dict[str, list[MatchedPatch]] = defaultdict(list)
    rest: dict[ReleasePatch, MatchedPatch] = {}
    for row in matching.patches:
        if row.patch_id in slides:
            by_slide[slides[row.patch_id]].append(row)
        else:
            rest[row.patch] = row
    units = [(name, tuple(rows)) for name, rows in by_slide.items()]
    units += [(f"block-{name}", tuple(rest[patch] for patch in members)) for name, members in blocks(list(rest))]
    return sorted(units, key=lambda unit: unit[0])


def _read_slides(path: Path, matching: Matching) -> dict[str, str]:
    """patch_id -> slide_id from a CSV, checked against the release.

    Raises:
        LabelError: a column is missing, a patch is unknown or has two slides, or a slide has two scores or two sides.
    """
    rows = {row.patch_id: row for row in matching.patches}
    slides: dict[str, str] = {}
    for line in read_table(path, required=("patch_id", "slide_id"), known=("patch_id", "slide_id")).rows:
        patch_id, slide_id = line.cells.get("patch_id", ""), line.cells.get("slide_id", "")
        if slide_id.startswith("block-"):
            raise LabelError(line.source, "a slide id", repr(slide_id), "Names that start with block- are ours.")
        if patch_id not in rows or not slide_id or slides.get(patch_id, slide_id) != slide_id:
            raise LabelError(
                line.source,
                "a patch id of this release, and one slide id",
                f"{patch_id!r}, {slide_id!r}",
                "A patch id is a file name of the patch variant without its suffix.",
            )
        slides[patch_id] = slide_id
    facts: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for patch_id, slide_id in slides.items():
        facts[slide_id].add((rows[patch_id].patch.score, rows[patch_id].patch.side))
    for slide_id, seen in facts.items():
        if len(seen) > 1:
            found = " and ".join(f"{score} in {side}" for score, side in sorted(seen))
            raise LabelError(f"{path}, slide {slide_id}", "one score and one side a slide", found, "Correct the CSV.")
    return slides


# --- Work on patches ----------------------------------------------------------------------------------------------


def _hash_all(release: Release, workers: int) -> dict[ReleasePatch, str]:
    patches = [patch for members in release.patches.values() for patch in members]
    batches = [patches[start : start + _HASH_BATCH] for start in range(0, len(patches), _HASH_BATCH)]
    hashed = run_tasks(_hash_batch, batches, workers=workers, label="Reading", unit="file", weight=len, threads=True)
    return dict(zip(patches, (value for batch in hashed for value in batch), strict=True))


def _hash_batch(patches: Sequence[ReleasePatch]) -> list[str]:
    return [hashlib.sha256(patch.blob.read()).hexdigest() for patch in patches]


@dataclass(frozen=True)
class _UnitTask:
    root: Path
    unit: str
    rows: tuple[MatchedPatch, ...]
    slide_id: str | None
    options: PackOptions


@dataclass(frozen=True)
class _WrittenUnit:
    shards: list[Shard]
    misnamed: int
    formats: Counter[str]


def _write_unit(task: _UnitTask) -> _WrittenUnit:
    misnamed, formats = 0, Counter[str]()
    with UnitWriter(task.root, task.unit) as writer:
        for row in task.rows:
            data = row.patch.blob.read()
            image = check_image(data, row.patch.blob.name, task.options.image_size)
            _check_pixels(data, image, row.patch, task.options.check)
            formats[f"{image.format} {image.mode}"] += 1
            misnamed += row.patch.file_name.lower().endswith(".png") != (image.format == "PNG")
            columns = release_row(row.patch, data)
            writer.write(row.sides, {**columns, "patch_id": row.patch_id, "slide_id": task.slide_id})
    return _WrittenUnit(writer.shards, misnamed, formats)


def _check_pixels(data: bytes, image: Image.Image, patch: ReleasePatch, check: str) -> None:
    try:
        if check == "decode":
            image.load()
        if check == "decode" or patch.blob.crc is None:
            # Decoding does not look at a PNG's checksums: spoiled bytes may give other pixels.
            Image.open(io.BytesIO(data), formats=(str(image.format),)).verify()
    except IMAGE_ERRORS as error:
        raise ImageError(
            patch.blob.name, "an image that decodes", str(error), "Download it again, or take it out and give --subset."
        ) from error


# --- What is said about it ----------------------------------------------------------------------------------------


def _inputs_digest(rows: Sequence[MatchedPatch], hashes: Mapping[ReleasePatch, str]) -> str:
    lines = (f"{row.patch_id} {row.sides.wsi} {row.sides.patch} {hashes[row.patch]}\n" for row in rows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _report(matching: Matching, written: Sequence[_WrittenUnit]) -> dict[str, Any]:
    formats: Counter[str] = sum((unit.formats for unit in written), Counter())
    return {
        "patches": len(matching.patches),
        "in_both_variants": sum("none" not in (row.sides.wsi, row.sides.patch) for row in matching.patches),
        "duplicates_within_a_variant": matching.duplicates,
        "same_image_other_label_score_or_side": [list(pair) for pair in matching.disagreements],
        "suffix_unlike_format": sum(unit.misnamed for unit in written),
        "formats": dict(sorted(formats.items())),
    }


def _source(root: Path, licence: str | None) -> dict[str, Any]:
    """What is known of the record: from source.json beside the zips, if it was fetched; never invented."""
    path = root / "source.json"
    record: dict[str, Any] = {}
    if path.is_file():
        try:
            if path.stat().st_size > MAX_MANIFEST_BYTES:
                raise ValueError(f"more than {MAX_MANIFEST_BYTES} bytes")
            record = dict(json.loads(path.read_bytes()))
            if not isinstance(record.get("licence"), str | None):
                raise TypeError(f"a licence that is a {type(record['licence']).__name__}")
            json.dumps(record, ensure_ascii=False, allow_nan=False).encode()  # as the manifest and the card write it
        except (ValueError, TypeError, RecursionError) as error:
            raise ReleaseError(str(path), "a JSON object", str(error), "Fetch it again, or remove it.") from error
    return {"kind": "release", "licence": licence or record.get("licence"), "record": record or None}
