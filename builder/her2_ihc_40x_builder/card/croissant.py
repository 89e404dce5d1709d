"""croissant.json: the data set in Croissant 1.0 (https://docs.mlcommons.org/croissant/docs/croissant-spec.html)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from her2_ihc_40x import CITATION, CLASSES, CONFIGS, DOI, FEATURES, GLOBS, SPLITS

from ..shards.files import Shard
from ..shards.manifest import Manifest

FILE_NAME = "croissant.json"
_PARQUET = "application/x-parquet"  # not the registered name: the one that mlcroissant and the Hub use

#: What of a column's type is another name in Croissant; the rest is text.
_TYPES = {"int32": "sc:Integer", "int64": "sc:Integer", "float32": "sc:Float", "float64": "sc:Float"}
_COLUMNS = {
    "image": "The patch; width and height in pixels are its own.",
    "label": f"The class, as a number: {', '.join(f'{at} is {name}' for at, name in enumerate(CLASSES))}.",
    "label_source": "Where the label comes from: region, slide or release.",
    "slide_id": "The slide; null if unknown.",
    "case_id": "The patient, pseudonymous; null if unknown.",
    "slide_score": "The score of the whole slide, numbered as the label is; null if unknown.",
    "slide_side": "The side that the release's file name gives the slide; null if there is none.",
    "patch_id": "Unique in this data set.",
    "roi_id": "The annotated region; null if unknown.",
    "x": "Level-0 pixels from the slide's left edge to the patch's; null if unknown.",
    "y": "Level-0 pixels from the slide's top edge to the patch's; null if unknown.",
    "mpp": "Micrometres a pixel; null if unknown.",
    "hue_similarity": "Correlation of the patch's hue histogram with its class's reference; null if not measured.",
    "tissue_fraction": "The part of the patch that is not glass, 0 to 1; null if not measured.",
    "sha256": "Of the image's bytes, hexadecimal.",
}
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def render_croissant(manifest: Manifest, summary: str) -> str:
    """The text of croissant.json: a function of the manifest, without dates.

    A record set for each config reads all its files in turn. mlcroissant compares no hash when it reads a set of files,
    but does for a single one: so each file has a record set of its own too, which is how a reader checks it.

    Args:
        manifest: of the data set.
        summary: what the data set is, in a sentence.
    """
    release = manifest.source["kind"] == "release"
    configs = [config for config in CONFIGS if config in manifest.counts]
    shards = sorted(manifest.shards)
    content: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "her2-ihc-40x",
        "description": f"{summary} sha256 of all files: {manifest.digest}",
        "license": licence_of(manifest.source.get("licence")),
        "keywords": ["histopathology", "HER2", "immunohistochemistry", "breast cancer"],
    }
    if release:
        content |= {"url": f"https://doi.org/{DOI}", "citeAs": CITATION, "creator": list(_creators())}
    content["distribution"] = [*map(_file_object, shards), *map(_file_set, configs)]
    content["recordSet"] = [
        _classes(),
        *(_records(manifest, config) for config in configs),
        *(_file_records(shard) for shard in shards),
    ]
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def licence_of(licence: str | None) -> Any:
    """The licence as Croissant wants it: an address where the id has one, else its name; the field must be there."""
    if licence is None:
        return {"@type": "sc:CreativeWork", "name": "unknown", "description": "Ask the authors before you share it."}
    if re.fullmatch(r"cc0-1\.0|cc-by(-nc)?(-sa|-nd)?-[1-4]\.[05]", licence):
        return f"https://spdx.org/licenses/{licence.upper()}.html"
    return licence


def _creators() -> Iterator[dict[str, str]]:
    """The authors as the citation names them."""
    for line in CITATION.splitlines():
        if match := re.match(r"\s*author\s*=\s*{(.*)}", line):
            yield from ({"@type": "sc:Person", "name": name.strip("{}")} for name in match[1].split(" and "))


def _file_object(shard: Shard) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": shard.path,
        "name": shard.path.rsplit("/", 1)[-1],
        "contentUrl": shard.path,
        "contentSize": f"{shard.bytes} B",
        "encodingFormat": _PARQUET,
        "sha256": shard.sha256,
    }


def _file_set(config: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{config}-files",
        "name": f"{config}-files",
        "description": f"The files of {config}.",
        "encodingFormat": _PARQUET,
        "includes": [GLOBS[config].format(split) for split in SPLITS],
    }


def _classes() -> dict[str, Any]:
    fields = [("id", "sc:Integer", "The number in the columns."), ("name", "sc:Text", "The class.")]
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "dataType": "sc:Enumeration",
        "key": {"@id": "classes/id"},
        "field": [
            {"@type": "cr:Field", "@id": f"classes/{name}", "name": name, "description": meaning, "dataType": kind}
            for name, kind, meaning in fields
        ],
        "data": [{"classes/id": at, "classes/name": label} for at, label in enumerate(CLASSES)],
    }


def _records(manifest: Manifest, config: str) -> dict[str, Any]:
    files = {"fileSet": {"@id": f"{config}-files"}}
    sides = r"data/wsi_(train|test)/.*" if config == "wsi_split" else r"data/[^/]+/patch_(train|test)/.*"
    split = {
        "@type": "cr:Field",
        "@id": f"{config}/split",
        "name": "split",
        "description": "The side of this config: train or test.",
        "dataType": "sc:Text",
        "source": {**files, "extract": {"fileProperty": "fullpath"}, "transform": {"regex": sides}},
    }
    total = sum(sum(labels.values()) for labels in manifest.counts[config].values())
    return {
        "@type": "cr:RecordSet",
        "@id": config,
        "name": config,
        "description": f"{CONFIGS[config]} {total} patches; no sha256 is compared, as a file's own record set does.",
        "key": {"@id": f"{config}/patch_id"},
        "field": [split, *(_field(config, name, files) for name in FEATURES)],
    }


def _file_records(shard: Shard) -> dict[str, Any]:
    record_set = f"file:{shard.path}"
    return {
        "@type": "cr:RecordSet",
        "@id": record_set,
        "name": record_set,
        "description": f"The {shard.rows} rows of one file, which is compared with its sha256 before it is read.",
        "field": [_field(record_set, name, {"fileObject": {"@id": shard.path}}) for name in ("image", "label")],
    }


def _field(record_set: str, column: str, files: dict[str, Any]) -> dict[str, Any]:
    is_image = column == "image"
    kind = "sc:ImageObject" if is_image else _TYPES.get(str(FEATURES.arrow_schema.field(column).type), "sc:Text")
    # In Parquet an image is a pair of its bytes and its file's name.
    transform = {"transform": {"jsonPath": "bytes"}} if is_image else {}
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{column}",
        "name": column,
        "description": _COLUMNS[column],
        "dataType": kind,
        "source": {**files, "extract": {"column": column}, **transform},
    }
