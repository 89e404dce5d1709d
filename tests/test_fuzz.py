"""Any text, JSON or bytes in place of a name, a table, a record or a manifest: a value, or an error in words.

Regions have theirs beside their formats (tests/regions/test_formats.py).
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from built_twin import write_lab
from her2_ihc_40x import CLASSES, Her2Error, ReleaseError, load_dataset, parse_patch_name
from her2_ihc_40x_builder.geometry import Size
from her2_ihc_40x_builder.regions import imagescope
from her2_ihc_40x_builder.regions.model import Reading
from her2_ihc_40x_builder.regions.names import slide_and_roi_of, slide_of
from her2_ihc_40x_builder.shards.files import Shard
from her2_ihc_40x_builder.shards.manifest import Manifest, read_manifest
from her2_ihc_40x_builder.slides.labels import parse_label, read_labels
from her2_ihc_40x_builder.windows.splits import read_splits
from her2_ihc_40x_builder.zenodo.record import Record

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
ids = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


# --- Names --------------------------------------------------------------------------------------------------------


@given(st.text() | st.from_regex(r"her2-.{0,3}-score_\w+_\d+\.\w+"))
@example("her2-0-score_train_\N{ARABIC-INDIC DIGIT ONE}.png")
def test_any_text_is_a_patch_name_or_a_release_error(name: str) -> None:
    try:
        score, side, number = parse_patch_name(name)
    except ReleaseError:
        return
    assert name.isascii()
    assert score in CLASSES
    assert side in ("train", "test")
    assert name.lower().startswith(f"her2-{score}-score_{side}_")
    assert 0 <= number < 10**6


@given(st.sampled_from(CLASSES), st.sampled_from(["train", "test"]), st.integers(0, 999_999))
def test_a_patch_name_is_read_as_it_is_written(score: str, side: str, number: int) -> None:
    assert parse_patch_name(f"her2-{score}-score_{side}_{number:04d}.png") == (score, side, number)


@given(st.text(), st.sets(st.text(min_size=1), max_size=4))
def test_any_text_names_a_slide_that_there_is_or_none(name: str, slides: set[str]) -> None:
    assert slide_of(name, slides) in {*slides, None}
    pair = slide_and_roi_of(name, slides)
    assert pair is None or (pair[0] in slides and name == "_".join(pair))


@given(ids.filter(lambda name: not set(name) & set("/\\_.")), st.from_regex(r"[A-Za-z0-9]{1,20}", fullmatch=True))
def test_a_crop_is_read_as_it_is_named(slide: str, roi: str) -> None:
    assert slide_and_roi_of(f"{slide}_{roi}", [slide]) == (slide, roi)
    assert slide_of(f"../x/{slide}.svs", [slide]) == slide


@given(st.text())
def test_any_text_is_a_label_or_an_error(text: str) -> None:
    with contextlib.suppress(Her2Error):
        assert parse_label(text, "here") in CLASSES


# --- Tables -------------------------------------------------------------------------------------------------------

# Python 3.10 writes no NUL in a table; in bytes there are some.
text = st.text(st.characters(exclude_characters="\0"), max_size=8)
cells = st.lists(st.lists(text, max_size=4), max_size=5)


def table(rows: list[list[str]]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue().encode("utf-8", "surrogatepass")


@given(
    st.binary(max_size=200) | cells.map(table),
    st.sampled_from([b"", b"slide_id,label,mpp\n", b"patch_id,patch_split\n"]),
)
@example(b'"', b"slide_id,label,mpp\n")
def test_any_bytes_are_a_table_or_an_error(folder: Path, data: bytes, header: bytes) -> None:
    path = folder / "any.csv"
    path.write_bytes(header + data)
    for read in (read_labels, read_splits):
        with contextlib.suppress(Her2Error):
            read(path)


@given(st.dictionaries(ids, st.tuples(st.sampled_from(CLASSES), st.sampled_from(["train", "test"])), min_size=1))
def test_tables_are_read_as_they_are_written(folder: Path, slides: dict[str, tuple[str, str]]) -> None:
    path = folder / "good.csv"
    rows = [["slide_id", "label", "wsi_split"], *([slide, *told] for slide, told in slides.items())]
    path.write_bytes(table(rows))
    labels = read_labels(path).slides
    assert {slide: told.label and told.label.value for slide, told in labels.items()} == {
        slide: label for slide, (label, _) in slides.items()
    }
    assert read_splits(path).wsi == {slide: side for slide, (_, side) in slides.items()}


# --- Records and manifests ----------------------------------------------------------------------------------------

RECORD: dict[str, Any] = {
    "id": 1,
    "metadata": {"license": {"id": "cc-by-4.0"}, "version": "1"},
    "files": [{"key": "a.zip", "size": 1, "checksum": f"md5:{'0' * 32}", "links": {"self": "https://x.org/a"}}],
}


@given(anything | st.fixed_dictionaries({key: anything | st.just(value) for key, value in RECORD.items()}))
def test_any_json_is_a_record_or_an_error(content: Any) -> None:
    with contextlib.suppress(Her2Error):
        record = Record.parse(content, "https://x.org/api/records/1")
        assert all("/" not in file.name and file.name not in ("", ".", "..") for file in record.files)
        json.dumps(record.source())


def test_a_record_is_read_as_it_is_written() -> None:
    record = Record.parse(RECORD, "https://x.org/api/records/1")
    assert (record.id, record.licence, record.files[0].name) == ("1", "cc-by-4.0", "a.zip")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("lab")
    content: dict[str, Any] = json.loads(write_lab(root).to_json())
    return content


@given(data=st.data())
def test_a_manifest_with_anything_in_it_is_one_or_an_error(
    folder: Path, lab: dict[str, Any], data: st.DataObject
) -> None:
    content: Any = json.loads(json.dumps(lab))
    at, key = content, data.draw(st.sampled_from(sorted(content)))
    while isinstance(at[key], dict | list) and at[key] and data.draw(st.booleans()):
        at = at[key]
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
    at[key] = data.draw(anything)
    (folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    with contextlib.suppress(Her2Error):
        again = json.loads(read_manifest(folder).to_json())
        for told in (again, content):
            for key in ("made_by", "sha256"):  # which say who wrote the file, and what is in it
                told.pop(key, None)
        assert again == content
    if content.get("format") == lab["format"]:  # else the folder is taken for a release
        with contextlib.suppress(Her2Error):
            load_dataset(source=folder)


@given(st.lists(st.tuples(ids, st.integers(0, 10**9), st.integers(0, 10**6)), max_size=4, unique_by=lambda one: one[0]))
def test_a_manifest_is_read_as_it_is_written(folder: Path, shards: list[tuple[str, int, int]]) -> None:
    files = [
        Shard(f"data/wsi_train/patch_test/{name}.parquet", "0" * 64, size, rows, name) for name, size, rows in shards
    ]
    manifest = Manifest(files, {}, {}, {"kind": "slides"}, {name: {} for name, _, _ in shards})
    (folder / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    assert read_manifest(folder).to_json() == manifest.to_json()


# --- XML ----------------------------------------------------------------------------------------------------------

VERTEX = '<Vertex X="{}" Y="1"/>'
pieces = st.sampled_from(
    ["<Annotations>", "</Annotations>", "<Annotation Id='1'>", "</Annotation>", "<Regions>", "<Region Id='1'>",
     "<Region Type='2'>", "</Region>", "<Vertices>", *map(VERTEX.format, ("1", "9", "nan", "1e999", "x", ""))]
)  # fmt: skip


@given(st.text() | st.lists(pieces | st.text(max_size=3)).map("".join))
def test_any_text_is_imagescopes_or_an_error(folder: Path, text: str) -> None:
    path = folder / "s.xml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(Her2Error):
        imagescope.read(path, "s", Size(100, 100), Reading(), invert_y=False)
