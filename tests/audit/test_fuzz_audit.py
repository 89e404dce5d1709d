"""Any bytes, values or columns in the shards that an audit reads, and in its table: an audit, or an error in words."""

from __future__ import annotations

import contextlib
import io
import json
import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from her2_ihc_40x import Her2Error, ReleaseError

pytest.importorskip("cv2", reason="needs the extra [build]")

from her2_ihc_40x_builder.audit import Audit, audit_edition
from her2_ihc_40x_builder.audit.patients import read_patients
from her2_ihc_40x_builder.audit.table import audit_table
from her2_ihc_40x_builder.errors import LabelError
from her2_ihc_40x_builder.hub.diff import Edition
from her2_ihc_40x_builder.shards.codecs import column_codecs, read_footer
from her2_ihc_40x_builder.shards.files import SCHEMA, UnitWriter
from her2_ihc_40x_builder.shards.manifest import Manifest, read_manifest
from planted import TEST, TRAIN, png, row, write_rows

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3), dtype=np.uint8)
FILES = [png(pixels) for pixels in PIXELS]

texts = st.sampled_from([None, "", "s", "\x1b[31m\n", "/home/x.png", "x" * 2000, "\U0010ffff"])
floats = st.sampled_from([None, 0.0, -1.0, math.nan, math.inf, 3e38])
whole = st.sampled_from([None, 0, 1, -1, -(2**31), 2**31 - 1])
odd: dict[str, st.SearchStrategy[Any]] = {
    "image": st.none() | st.builds(dict, bytes=st.sampled_from([None, b"", b"PK", *FILES]), path=texts),
    **dict.fromkeys(("label", "slide_score"), st.sampled_from([None, 0, 3, 4, -1, 2**31])),
    **dict.fromkeys(("x", "y"), whole),
    **dict.fromkeys(("mpp", "hue_similarity", "tissue_fraction"), floats),
    **dict.fromkeys(("label_source", "slide_id", "case_id", "slide_side", "patch_id", "roi_id", "sha256"), texts),
}


@dataclass(frozen=True)
class Data:
    """A data set in memory."""

    manifest: Manifest
    shards: dict[str, bytes]

    @property
    def edition(self) -> Edition:
        return Edition("fuzz", self.manifest, lambda shard: io.BytesIO(self.shards[shard.path]))

    def with_shard(self, at: int, data: bytes) -> Data:
        return replace(self, shards={**self.shards, sorted(self.shards)[at]: data})

    def audit(self) -> Audit:
        return audit_edition(self.edition, workers=1)

    def is_told(self) -> None:
        """It has an audit that can be printed, or an error of ours."""
        with contextlib.suppress(Her2Error):
            found = self.audit()
            json.dumps(found.to_json(), allow_nan=False)
            assert audit_table(found).replace("\n", "").isprintable()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Data:
    rows = [(TEST if at % 2 else TRAIN, row(f"p{at}", "s", data, x=at, y=0)) for at, data in enumerate(FILES)]
    root = write_rows(tmp_path_factory.mktemp("sound"), rows, parameters={"patch_size": 24, "min_tissue": 0.1})
    manifest = read_manifest(root)
    return Data(manifest, {shard.path: (root / shard.path).read_bytes() for shard in manifest.shards})


def footer_of(data: bytes | bytearray) -> int:
    """Where the footer of a Parquet file begins."""
    return len(data) - 8 - int.from_bytes(data[-8:-4], "little")


@settings(max_examples=100, derandomize=True)  # what ends the process would do so at every run
@given(st.integers(0, 1), st.floats(0, 1, exclude_max=True), st.booleans(), st.integers(1, 255))
def test_a_flipped_byte_in_a_shard(sound: Data, which: int, place: float, in_footer: bool, byte: int) -> None:
    data = bytearray(sound.shards[sorted(sound.shards)[which]])
    first = footer_of(data) if in_footer else 0
    data[first + int(place * (len(data) - first))] ^= byte
    sound.with_shard(which, bytes(data)).is_told()


@given(st.lists(st.fixed_dictionaries({}, optional=odd), min_size=1, max_size=4))
@settings(max_examples=40)
def test_odd_values_in_rows(sound: Data, changes: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        with UnitWriter(Path(place), "s") as writer:
            for at, change in enumerate(changes):
                columns = {**row(f"p{at}", "s", FILES[at], x=at, y=0), **change}
                writer.write(TEST if at % 2 else TRAIN, columns)
        shards = {shard.path: (Path(place) / shard.path).read_bytes() for shard in writer.shards}
    Data(replace(sound.manifest, shards=writer.shards), shards).is_told()


@given(st.sampled_from(SCHEMA.names), st.sampled_from([None, pa.int16(), pa.binary(), pa.list_(pa.int8())]))
def test_other_columns(sound: Data, name: str, kind: pa.DataType | None) -> None:
    fields = [field for field in SCHEMA if field.name != name or kind]
    schema = pa.schema([pa.field(name, kind) if field.name == name else field for field in fields], SCHEMA.metadata)
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink, compression="none", use_dictionary=False)
    with pytest.raises(ReleaseError, match="other columns"):
        sound.with_shard(0, sink.getvalue().to_pybytes()).audit()


def test_a_codec_that_does_not_exist(sound: Data) -> None:
    data = sound.shards[sorted(sound.shards)[0]]
    # The path of a column, then field 4 of its metadata as a 32-bit number: 0, and here -25.
    data = data[: footer_of(data)] + data[footer_of(data) :].replace(b"\x05label\x15\x00", b"\x05label\x15\x31")
    assert column_codecs(read_footer(io.BytesIO(data))) == {0, -25}
    with pytest.raises(ReleaseError, match="a compressed column"):
        sound.with_shard(0, data).audit()


@given(st.binary(max_size=100))
def test_any_bytes_for_a_footer(sound: Data, footer: bytes) -> None:
    data = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    with contextlib.suppress(ValueError):
        assert all(abs(codec) < 2**70 for codec in column_codecs(footer))
    with pytest.raises(ReleaseError):
        sound.with_shard(0, data).audit()


lines = st.lists(st.sampled_from(["s", "t", "", '"', "p", ",", "slide_id", "case_id", "\0", "é"]), max_size=6)


@given(st.binary(max_size=100) | lines.map(lambda cells: ",".join(cells).encode()), st.booleans())
def test_any_table_of_patients(sound: Data, tmp_path_factory: pytest.TempPathFactory, data: bytes, named: bool) -> None:
    path = tmp_path_factory.getbasetemp() / "patients.csv"
    path.write_bytes((b"slide_id,case_id\n" if named else b"") + data)
    with contextlib.suppress(LabelError):
        patients = read_patients(path, sound.edition)
        assert (patients.known, patients.missing, set(patients.slides)) == (1, (), {"s"})
