"""QuPath's GeoJSON, and any other with y from the top; the file is named after its slide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import RegionError
from ..geometry import Size
from . import geojson
from .model import Drawn, Reading
from .names import is_number, is_uuid, shown
from .polygons import from_bottom


def read(document: Any, source: Path, slide: str, size: Size, reading: Reading, *, invert_y: bool) -> None:
    """Add the annotations of a document to a reading; detections and array cores do not count.

    Args:
        document: parsed GeoJSON.
        source: its file.
        slide: the slide's id.
        size: the slide's size at level 0.
        reading: where shapes, errors and findings go.
        invert_y: y counts from the bottom after all.

    Raises:
        RegionError: the document or a shape in it is not GeoJSON.
    """
    found = list(geojson.features(document, shown(source)))
    # A name is free text, which may be a patient's. It is an id only if a database named all, each by its number; a
    # patient's number would be on all alike, so that a lone number says nothing: it finds its crop, and is not kept.
    names = [feature["properties"].get("name") for feature in found]
    named_by_number = all(is_number(name) for name in names) and len(set(names)) == len(names)
    for i, feature in enumerate(found):
        where = f"{shown(source)}, feature {i + 1}"
        properties = feature["properties"]
        kind = _object_type(feature)
        if kind != "annotation":
            reading.report("ignored", where, f"a {kind}, not an annotation")
            continue
        if feature.get("geometry") is None:
            reading.report("ignored", where, "it has no shape")
            continue
        shape = geojson.shape_of(feature["geometry"], where)
        class_name = _class_name(properties, where)
        own_id = feature.get("id")
        own_id = str(own_id) if is_number(own_id) or is_uuid(own_id) else None
        identity, is_lone = (str(names[i]), len(names) == 1) if named_by_number else (own_id, False)
        subtract = class_name is not None and class_name.casefold().startswith("ignore")
        shape = from_bottom(shape, size) if invert_y else shape
        reading.drawn.append(
            Drawn(slide, identity, class_name, shape, source, where, subtract, named=is_lone, own_id=own_id)
        )


def _object_type(feature: dict[str, Any]) -> str:
    """`annotation`, or what else QuPath says it is; versions before 0.3 say it in the id."""
    properties = feature["properties"]
    for value in (properties.get("objectType"), properties.get("object_type"), feature.get("id")):
        if isinstance(value, str) and not is_uuid(value):
            kind = value.removeprefix("Path").removesuffix("Object").casefold()
            if kind in {"annotation", "detection", "cell", "tile", "tmacore", "tma_core", "tma core", "root"}:
                return kind
    kind = properties.get("objectType")
    return "annotation" if kind is None else f"{str(kind)[:40]} object"


def _class_name(properties: dict[str, Any], where: str) -> str | None:
    value = properties.get("classification")
    if isinstance(value, dict):
        # A class and its subclasses, as one string or as a list.
        value = value.get("name") or value.get("names")
    if isinstance(value, list):
        value = ": ".join(str(part) for part in value)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise RegionError(where, "a class with a name", type(value).__name__, "Export the annotations again.")
    return value.strip() or None
