"""PNG crops of slides, `<class>/<slide>_<id>.png`: placed where their pixels are, with the alpha as the outline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import shapely
from shapely.affinity import scale as scaled
from shapely.affinity import translate

from ..errors import Her2Error, RegionError
from ..geometry import Size
from ..parallel import Processes, run_tasks
from ..placing.fit import UnfitCropError
from ..placing.locate import locate
from ..placing.search import Place, SlideLike
from ..placing.sighting import Request
from . import images
from .classes import score_of
from .model import Drawn, Reading
from .names import shown
from .placements import KeptPlacements, Placement, Sought
from .polygons import of_mask

#: Folders that say what is in them rather than of which class it is.
_PLAIN_FOLDERS = frozenset({"roi", "rois", "crops", "masks", "mask", "regions", "annotations", "png"})


@dataclass(frozen=True)
class CropFile:
    """A crop, and what its path says of it."""

    path: Path
    slide_id: str
    roi_id: str
    class_name: str | None


def folder_class(path: Path, root: Path) -> str | None:
    """Return the class that a picture's folder gives it: any name below the root that is no plain one, or a score."""
    name = path.parent.name
    if path.parent == root or path == root or name.casefold() in _PLAIN_FOLDERS:
        return name if score_of(name) else None
    return name


def place(
    crops: Sequence[CropFile],
    slides: Mapping[str, SlideLike],
    reading: Reading,
    workers: Processes | None = None,
    kept: KeptPlacements | None = None,
) -> None:
    """Add the regions of crops to a reading, each where it lies in its slide; a crop without a place stops its slide.

    Args:
        crops: crops named after slides of the build.
        slides: every slide of the build.
        reading: shapes read so far, which tell the scale of crops of the same regions.
        workers: that search; None searches here.
        kept: placements of earlier runs, to which those of this one are added; None searches for all.
    """
    drawn = {(d.slide_id, d.roi_id): d for d in reversed(reading.drawn) if not d.subtract and d.rank == 0}
    same = [drawn.get((crop.slide_id, crop.roi_id)) for crop in crops]
    sought = [
        Sought(crop.path, crop.slide_id, _extent(annotation)) for crop, annotation in zip(crops, same, strict=True)
    ]
    placements = _placements(sought, slides, reading, workers, kept)
    for crop, annotation, one in zip(crops, same, placements, strict=True):
        if isinstance(one, Placement):
            reading.drawn.append(_drawn(crop, one))
        elif annotation is not None and isinstance(one, UnfitCropError):
            detail = f"the crop does not check its annotation: {one.expected} needed, {one.found} found"
            reading.report("ignored", shown(crop.path), detail)
            where = shown(crop.path)
            claim = replace(annotation, class_name=crop.class_name, source=crop.path, where=where, rank=2, named=False)
            reading.drawn.append(claim)
        else:
            reading.stop(crop.slide_id, one)


def _extent(annotation: Drawn | None) -> Size | None:
    if annotation is None:
        return None
    left, top, right, bottom = annotation.shape.bounds
    return Size(max(1, round(right - left)), max(1, round(bottom - top)))


def _placements(
    sought: Sequence[Sought],
    slides: Mapping[str, SlideLike],
    reading: Reading,
    workers: Processes | None,
    kept: KeptPlacements | None,
) -> list[Placement | Her2Error]:
    """Placements of crops, or why there is none: those that are kept, the others found and kept."""
    keys: Sequence[str | None] = [None] * len(sought)
    if kept and sought:
        keys = kept.keys(sought, workers)
    placements: dict[int, Placement | Her2Error] = {
        index: placement
        for index, (one, key) in enumerate(zip(sought, keys, strict=True))
        if kept and key and (placement := kept.find(key, one.slide_id))
    }
    missing = [index for index in range(len(sought)) if index not in placements]
    found, unseen = _find([sought[index] for index in missing], slides, workers)
    placements.update(zip(missing, found, strict=True))
    for slide_id, reason in unseen.items():
        reading.report("crops not compared with slide", slide_id, reason)
    if kept and not unseen:  # else the next run shall look again, and say so
        _keep(kept, zip((keys[index] for index in missing), found, strict=True), reading)
    return [placements[index] for index in range(len(sought))]


def _find(
    sought: Sequence[Sought], slides: Mapping[str, SlideLike], workers: Processes | None
) -> tuple[list[Placement | Her2Error], Mapping[str, str]]:
    """Placements of crops, or why there is none; and the slides that they could not be compared with."""
    requests = [Request(shown(one.crop), one.slide_id, partial(images.crop, one.crop), one.extent) for one in sought]
    located = locate(requests, slides, workers)
    placed = [(one.crop, place) for one, place in zip(sought, located.found, strict=True) if isinstance(place, Place)]
    outlined = run_tasks(
        _outlined, placed, workers=workers, label="Outlining crops", unit="crop", killed=_outline_killed
    )
    ready = iter(outlined)
    return [next(ready) if isinstance(one, Place) else one for one in located.found], located.unseen


def _outlined(placed: tuple[Path, Place]) -> Placement | RegionError:
    path, place = placed
    try:
        _, mode = images.header(path)
        mask = images.crop(path).mask if mode == "RGBA" else None
        return Placement(place, None if mask is None else of_mask(mask, shown(path)))
    except RegionError as error:
        return error


def _outline_killed(placed: tuple[Path, Place]) -> RegionError:
    found, remedy = "a process that was killed at it", "Give fewer --workers if memory is short, or an annotation."
    return RegionError(shown(placed[0]), "a crop whose outline can be read", found, remedy)


def _keep(kept: KeptPlacements, found: Iterable[tuple[str | None, Placement | Her2Error]], reading: Reading) -> None:
    try:
        for key, one in found:
            if key and isinstance(one, Placement):
                kept.keep(key, one)
    except OSError as error:
        reason = f"{error.strerror or error!r}: they are placed again by every run"
        reading.report("places of crops not kept", shown(kept.folder), reason)


def _drawn(crop: CropFile, found: Placement) -> Drawn:
    size, _ = images.header(crop.path)
    place, outline = found.place, found.outline
    rank = 2 if outline is None else 1
    shape = outline or shapely.box(0, 0, size.width, size.height)
    shape = translate(scaled(shape, place.scale, place.scale, origin=(0, 0)), place.x, place.y)
    tolerance = 2 * place.scale
    where = shown(crop.path)
    return Drawn(crop.slide_id, crop.roi_id, crop.class_name, shape, crop.path, where, rank=rank, tolerance=tolerance)
