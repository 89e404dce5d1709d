"""GeoJSON in all the forms that annotation tools write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import shapely
from shapely.errors import ShapelyError
from shapely.geometry.base import BaseGeometry

from ..errors import RegionError

_SIMPLE = frozenset({"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"})


def is_geojson(document: Any) -> bool:
    """Whether a JSON document is a FeatureCollection, a Feature, a geometry or a list that starts with one of them."""
    if isinstance(document, list):
        return not document or is_geojson(document[0])
    kind = document.get("type") if isinstance(document, dict) else None
    return isinstance(kind, str) and (kind in _SIMPLE or kind in {"FeatureCollection", "Feature", "GeometryCollection"})


def features(document: Any, where: str) -> Iterator[dict[str, Any]]:
    """Every feature of a document; a bare geometry becomes a feature without properties.

    Args:
        document: parsed JSON.
        where: the file, for messages.

    Raises:
        RegionError: it is not GeoJSON.
    """
    if isinstance(document, dict) and document.get("type") == "FeatureCollection":
        document = document.get("features")
        if not isinstance(document, list):
            raise RegionError(where, "a list of features", type(document).__name__, "Export the annotations again.")
    for item in document if isinstance(document, list) else [document]:
        kind = item.get("type") if isinstance(item, dict) else None
        if kind == "Feature":
            properties = item.get("properties")
            yield {**item, "properties": properties if isinstance(properties, dict) else {}}
        elif isinstance(kind, str) and (kind in _SIMPLE or kind == "GeometryCollection"):
            yield {"type": "Feature", "geometry": item, "properties": {}}
        else:
            found = f"type {str(kind)[:40]!r}" if isinstance(item, dict) else type(item).__name__
            raise RegionError(where, "a GeoJSON feature or geometry", found, "Export the annotations again.")


def shape_of(geometry: Any, where: str) -> BaseGeometry:
    """Return the geometry that a GeoJSON object describes; its coordinates are not checked.

    Args:
        geometry: parsed JSON; a collection may hold simple geometries, not collections.
        where: file and shape, for messages.

    Raises:
        RegionError: it is no geometry.
    """
    remedy = "Export the annotations again."
    if isinstance(geometry, dict) and geometry.get("type") == "GeometryCollection":
        parts = geometry.get("geometries")
        if isinstance(parts, list) and all(isinstance(p, dict) and p.get("type") in _SIMPLE for p in parts):
            return shapely.GeometryCollection([shape_of(part, where) for part in parts])
        raise RegionError(where, "a collection of simple geometries", "something else in it", remedy)
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if not isinstance(kind, str) or kind not in _SIMPLE:
        raise RegionError(where, "a GeoJSON geometry", f"type {str(kind)[:40]!r}", remedy)
    try:
        # GEOS parses the text with its own bounds and types; only these two members are its business.
        text = json.dumps({"type": kind, "coordinates": geometry.get("coordinates")}, allow_nan=False)
        return shapely.from_geojson(text)
    # In turn: GEOS cannot parse it; NaN; what shapely's C code is not given by text today; a curve; too deep a list.
    except (ShapelyError, ValueError, TypeError, NotImplementedError, RecursionError) as error:
        raise RegionError(where, f"the coordinates of a {kind}", str(error)[:200], remedy) from error
