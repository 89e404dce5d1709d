"""Aperio ImageScope's XML: layers ("Annotation") of regions, y from the top; the file is named after its slide."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.sax import SAXException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl

import numpy as np
import shapely
from defusedxml.common import DefusedXmlException
from defusedxml.sax import make_parser
from shapely.geometry.base import BaseGeometry

from ..errors import RegionError
from ..geometry import Size
from .files import check_bytes
from .model import Drawn, Reading
from .names import is_number, shown
from .polygons import from_bottom

#: Elements of a file: as many vertices fit in one of the largest size that is read.
MAX_ELEMENTS = 1_000_000
#: Regions of a file; more are detections.
MAX_REGIONS = 10_000
#: What ImageScope calls the types of a region.
_AREAS = {"0": "freehand", "1": "rectangle", "2": "ellipse"}
_OTHERS = {"3": "arrow", "4": "ruler", "5": "pointer"}
#: What it says of a region that is taken away from the others.
_NEGATIVE = {"": False, "0": False, "false": False, "1": True, "true": True}
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
    layers = _Layers(shown(source))
    parser = make_parser()
    parser.setContentHandler(layers)
    parser.forbid_dtd = True
    try:
        # At once: fed in pieces, an attribute of millions of characters would be read again with each of them.
        parser.feed(source.read_bytes())
        parser.close()
    except DefusedXmlException as error:
        remedy = "Export the annotations again; a file with entities is not ImageScope's."
        raise RegionError(shown(source), "XML without a DTD", type(error).__name__, remedy) from error
    except (SAXException, ValueError, LookupError, OSError) as error:
        if isinstance(error, RegionError):
            raise
        raise RegionError(shown(source), "XML", str(error)[:200], "Export the annotations again.") from error
    found: list[tuple[str, str, bool, Drawn]] = []
    for one in layers.regions:
        shape = _shape(one)
        if shape is None:
            reading.report("ignored", one.where, f"a {_OTHERS.get(one.kind, 'shape of an unknown type')} has no area")
            continue
        shape = from_bottom(shape, size) if invert_y else shape
        drawn = Drawn(slide, None, one.class_name, shape, source, one.where, one.negative)
        found.append((one.text, f"{one.layer}-{one.id}", one.negative, drawn))
    reading.drawn += _with_ids(found)


@dataclass
class _Region:
    """A region as the file has it, its vertices as text."""

    where: str
    layer: str
    id: str
    kind: str
    text: str
    negative: bool
    class_name: str | None
    points: list[tuple[str | None, str | None]] = field(default_factory=list)


class _Layers(ContentHandler):
    """Gathers regions as the parser meets them: no tree is built, whose elements would take ten times the file."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.regions: list[_Region] = []
        self._where = where
        self._elements = 0
        self._layer = self._layer_name = self._description = ""
        self._open: _Region | None = None

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802 (the interface's name)
        self._elements += 1
        for count, most, what in (
            (self._elements, MAX_ELEMENTS, "elements"),
            (len(self.regions), MAX_REGIONS, "regions"),
        ):
            if count > most:
                remedy = "Simplify the regions, or export one file a slide."
                raise RegionError(self._where, f"at most {most} {what}", "more", remedy)
        if self._elements == 1 and name != "Annotations":
            raise RegionError(
                self._where, "ImageScope's Annotations", name[:40], "Export the annotations as XML again."
            )
        if name == "Annotation":
            self._layer, self._layer_name = attrs.get("Id", ""), attrs.get("Name", "").strip()
            self._description = ""
        elif name == "Region":
            self._open = self._region(attrs)
            self.regions.append(self._open)
        elif self._open is not None and name == "Vertex":
            self._open.points.append((attrs.get("X"), attrs.get("Y")))
        elif self._open is None and name == "Attribute" and attrs.get("Name") == "Description":
            self._description = attrs.get("Value", "").strip()

    def endElement(self, name: str) -> None:  # noqa: N802
        if name == "Region":
            self._open = None

    def _region(self, attrs: AttributesImpl) -> _Region:
        where = f"{self._where}, layer {self._layer[:20]}, region {attrs.get('Id', '')[:20]}"
        negative = attrs.get("NegativeROA", "").strip().casefold()
        if negative not in _NEGATIVE:  # whether the region is tissue to be cut or left out must not be guessed
            raise RegionError(where, "NegativeROA 0 or 1", negative[:20], "Export the annotations again.")
        return _Region(
            where=where,
            layer=self._layer,
            id=attrs.get("Id", ""),
            kind=attrs.get("Type", "0"),
            text=attrs.get("Text", "").strip(),
            negative=_NEGATIVE[negative],
            class_name=self._layer_name or self._description or None,
        )


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


def _shape(region: _Region) -> BaseGeometry | None:
    kind = _AREAS.get(region.kind)
    if kind is None:
        return None
    try:
        # A vertex without X or Y makes a float of None, a TypeError.
        points = np.array([(float(x), float(y)) for x, y in region.points], np.float64)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        found = f"{type(error).__name__}: {str(error)[:80]}"
        raise RegionError(region.where, "vertices with X and Y", found, "Export the annotations again.") from error
    points = points.reshape(-1, 2)
    if not np.isfinite(points).all():
        raise RegionError(region.where, "vertices with numbers", "nan or inf", "Export the annotations again.")
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
