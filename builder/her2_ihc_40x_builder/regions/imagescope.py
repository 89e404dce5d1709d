"""Aperio ImageScope's XML: layers ("Annotation") of regions, y from the top; the file is named after its slide."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
import shapely
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse
from shapely.geometry.base import BaseGeometry

from ..errors import RegionError
from ..geometry import Size
from .files import check_bytes
from .model import Drawn, Reading
from .names import is_number, shown
from .polygons import from_bottom

#: What ImageScope calls the types of a region.
_AREAS = {"0": "freehand", "1": "rectangle", "2": "ellipse"}
_OTHERS = {"3": "arrow", "4": "ruler", "5": "pointer"}
#: Sides of the polygon that stands for an ellipse.
_ELLIPSE_SIDES = 96


def read(source: Path, slide: str, size: Size, reading: Reading, *, invert_y: bool) -> None:
    """Add the regions of a file to a reading; negative ones are subtracted.

    Args:
        source: the file.
        slide: the slide's id.
        size: the slide's size at level 0.
        reading: where shapes, errors and findings go.
        invert_y: y counts from the bottom after all.

    Raises:
        RegionError: not XML, an XML with entities, or a region that is none.
    """
    check_bytes(source)
    found: list[tuple[str, str, bool, Drawn]] = []
    layer, layer_name, description, in_region = "", "", "", False
    try:
        for event, element in iterparse(source, events=("start", "end"), forbid_dtd=True):
            if event == "start":
                if element.tag == "Annotation":
                    layer, layer_name, description = element.get("Id", ""), element.get("Name", "").strip(), ""
                in_region = in_region or element.tag == "Region"
            elif element.tag == "Attribute" and not in_region and element.get("Name") == "Description":
                description = element.get("Value", "").strip()
            elif element.tag == "Region":
                in_region = False
                where = f"{shown(source)}, layer {layer[:20]}, region {element.get('Id', '')[:20]}"
                shape = _shape(element, where)
                if shape is None:
                    kind = _OTHERS.get(element.get("Type", ""), "shape of an unknown type")
                    reading.report("ignored", where, f"a {kind} has no area")
                else:
                    shape = from_bottom(shape, size) if invert_y else shape
                    negative = element.get("NegativeROA", "0").strip().casefold() in {"1", "true"}
                    class_name = layer_name or description or None
                    drawn = Drawn(slide, None, class_name, shape, source, where, negative)
                    found.append((element.get("Text", "").strip(), f"{layer}-{element.get('Id', '')}", negative, drawn))
                # Vertices by the hundred thousand are read one region at a time.
                element.clear()
    except DefusedXmlException as error:
        remedy = "Export the annotations again; a file with entities is not ImageScope's."
        raise RegionError(shown(source), "XML without a DTD", type(error).__name__, remedy) from error
    except (ParseError, ValueError, LookupError, OSError) as error:
        if isinstance(error, RegionError):
            raise
        raise RegionError(shown(source), "XML", str(error)[:200], "Export the annotations again.") from error
    reading.drawn += _with_ids(found)


def _with_ids(found: list[tuple[str, str, bool, Drawn]]) -> list[Drawn]:
    """Name regions by their texts if each has its own number (a database's then), else by layer and id.

    A lone number may be a patient's: it finds its crop, and is not kept.
    """
    texts = [text for text, _, negative, _ in found if not negative]
    by_text = all(map(is_number, texts)) and len(set(texts)) == len(texts)
    ids = [pair for _, pair, negative, _ in found if not negative]
    by_pair = len(set(ids)) == len(ids)
    drawn = []
    for text, pair, _, one in found:
        own_id = pair if by_pair and is_number(pair.replace("-", "")) else None
        named = by_text and len(texts) == 1
        drawn.append(replace(one, roi_id=text if by_text else own_id, named=named, own_id=own_id))
    return drawn


def _shape(region: Element, where: str) -> BaseGeometry | None:
    kind = _AREAS.get(region.get("Type", "0"))
    if kind is None:
        return None
    try:
        points = np.array(
            [(float(v.attrib["X"]), float(v.attrib["Y"])) for v in region.iterfind("Vertices/Vertex")], dtype=np.float64
        ).reshape(-1, 2)
    except (KeyError, ValueError) as error:
        found = f"{type(error).__name__}: {str(error)[:80]}"
        raise RegionError(where, "vertices with X and Y", found, "Export the annotations again.") from error
    if (2 <= len(points) <= 5 and kind == "ellipse") or (len(points) == 2 and kind == "rectangle"):
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        if kind == "rectangle":
            return shapely.Polygon([(left, top), (right, top), (right, bottom), (left, bottom)])
        turn = np.linspace(0, 2 * np.pi, _ELLIPSE_SIDES, endpoint=False)
        points = np.c_[
            (left + right) / 2 + np.cos(turn) * (right - left) / 2,
            (top + bottom) / 2 + np.sin(turn) * (bottom - top) / 2,
        ]
    return shapely.Polygon(points) if len(points) >= 3 else shapely.Polygon()
