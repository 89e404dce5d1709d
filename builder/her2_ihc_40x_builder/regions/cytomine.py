"""Cytomine's exports: JSON of user annotations (WKT), and its GeoJSON. In both, y counts from the slide's bottom edge.

Read are the shape, the slide's file name or image number, the annotation's number and its terms; users, projects,
dates, addresses and free text are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import shapely
from shapely.errors import ShapelyError
from shapely.geometry.base import BaseGeometry

from ..errors import RegionError
from ..geometry import Size
from . import geojson
from .model import Drawn, Reading
from .names import SlideNames, is_number, shown
from .polygons import from_bottom

#: Characters of one WKT: 200,000 vertices at 40 characters each.
MAX_WKT = 8_000_000

_FILE_NAMES = ("instanceFilename", "originalFilename", "imageFilename", "filename", "imageName")
_IMAGE_IDS = ("image", "idImage", "imageId", "image_id")
_TERMS = ("term", "terms", "termName", "termNames")
_MARKS = frozenset({*_FILE_NAMES[:3], *_IMAGE_IDS, "idProject", "userByTerm"})


def is_cytomine(document: Any) -> bool:
    """Whether a JSON document is an export of Cytomine, by its first annotation."""
    if isinstance(document, dict) and isinstance(document.get("collection"), list):
        return True
    entries = _entries(document)
    first = entries[0] if entries else None
    return isinstance(first, dict) and ("location" in first or _is_feature(first))


def read(document: Any, source: Path, sizes: Mapping[str, Size], reading: Reading, *, invert_y: bool) -> None:
    """Add the shapes of an export to a reading.

    Args:
        document: parsed JSON that `is_cytomine`.
        source: its file.
        sizes: each slide's size at level 0.
        reading: where shapes, errors and findings go.
        invert_y: y counts from the top after all.
    """
    slides = SlideNames(sizes)
    for i, entry in enumerate(_entries(document) or []):
        where = f"{shown(source)}, annotation {i + 1}"
        if not isinstance(entry, dict):
            reading.report("ignored", where, "it is no annotation")
            continue
        fields = entry.get("properties") if _is_feature(entry) else entry
        fields = fields if isinstance(fields, dict) else {}
        if fields.get("deleted"):
            reading.report("ignored", where, "it was deleted")
            continue
        slide = _slide(fields, source, slides)
        if slide is None:
            detail = f"no slide has its file name or image number ({_named(fields)})"
            reading.report("region without slide", where, detail + slides.near(*_file_names(fields)))
            continue
        try:
            shape = _shape(entry, where)
            shape = shape if invert_y else from_bottom(shape, sizes[slide])
        except RegionError as error:
            reading.stop(slide, error)
            continue
        identity = next((str(fields[key]) for key in ("id", "annotationId", "idAnnotation") if key in fields), None)
        identity = identity or str(entry.get("id"))
        reading.drawn.append(
            Drawn(slide, identity if is_number(identity) else None, _class_name(fields), shape, source, where)
        )


def _entries(document: Any) -> list[Any] | None:
    if isinstance(document, dict):
        for key in ("collection", "features"):
            if isinstance(document.get(key), list):
                return list(document[key])
        return [document]
    return document if isinstance(document, list) else None


def _is_feature(entry: dict[str, Any]) -> bool:
    properties = entry.get("properties")
    return entry.get("type") == "Feature" and isinstance(properties, dict) and not _MARKS.isdisjoint(properties)


def _shape(entry: dict[str, Any], where: str) -> BaseGeometry:
    if _is_feature(entry):
        return geojson.shape_of(entry.get("geometry"), where)
    return wkt(entry.get("location"), where)


def wkt(text: Any, where: str) -> BaseGeometry:
    """Return the geometry that a WKT describes; its coordinates are not checked.

    Raises:
        RegionError: no text, too long, or not WKT.
    """
    if not isinstance(text, str) or not text.strip():
        remedy = "Export the annotations with their WKT (showWKT)."
        raise RegionError(where, "a location as WKT", "none" if text is None else type(text).__name__, remedy)
    if len(text) > MAX_WKT:
        raise RegionError(where, f"WKT of at most {MAX_WKT} characters", str(len(text)), "Simplify the annotation.")
    try:
        # Nested collections would be read by a recursion without bound; no annotation is one.
        if text.upper().count("COLLECTION") > 1:
            raise ValueError("collections within collections")
        return shapely.from_wkt(text)
    # In turn: GEOS cannot parse it; nested, above; what shapely's C code is not given by text today; a curve.
    except (ShapelyError, ValueError, TypeError, NotImplementedError) as error:
        raise RegionError(where, "WKT", str(error)[:200], "Export the annotations again.") from error


def _slide(fields: Mapping[str, Any], source: Path, slides: SlideNames) -> str | None:
    """Return the slide by file name; without one, by image number; without either, by the file's own name."""
    if names := _file_names(fields):
        return next((slide for name in names if (slide := slides.find(name))), None)
    numbers = [str(fields[key]) for key in _IMAGE_IDS if isinstance(fields.get(key), int | str)]
    by_number = next((slide for number in numbers if (slide := slides.find(number))), None)
    return by_number or slides.find(source.name)


def _file_names(fields: Mapping[str, Any]) -> list[str]:
    return [fields[key] for key in _FILE_NAMES if isinstance(fields.get(key), str) and fields[key]]


def _named(fields: Mapping[str, Any]) -> str:
    """What an annotation says of itself, for a message: its id and its slide's name or number."""
    told = [f"{key} {fields[key]!r}" for key in ("id", *_FILE_NAMES, *_IMAGE_IDS) if fields.get(key)]
    return ", ".join(told)[:200] or "it names none"


def _class_name(fields: Mapping[str, Any]) -> str | None:
    """Return the terms' names; a bare number becomes "term 901", so that number 2 is not taken for a score."""
    found = next((fields[key] for key in _TERMS if fields.get(key)), None)
    names = set()
    for term in found if isinstance(found, list) else [found]:
        name = term.get("name") or term.get("id") if isinstance(term, dict) else term
        if isinstance(name, int) or is_number(name):
            names.add(f"term {name}")
        elif isinstance(name, str) and name.strip():
            names.add(name.strip())
    return " / ".join(sorted(names)) or None
