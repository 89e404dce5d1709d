"""Bad input on the command line: all of it at once beside a good slide, which is built all the same.

Each slide in trouble is named with what was expected and what was found; nothing hangs, nothing is written elsewhere.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import tifffile

from drawn_slides import Cohort, draw_cohort, write_qupath
from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.demo.synthetic import write_slide
from her2_ihc_40x_builder.geometry import Box, Size
from her2_ihc_40x_builder.hub.verify import verify_folder
from her2_ihc_40x_builder.shards.manifest import read_manifest
from program import run_program
from torture.mutants import png

SHARED = Path(__file__).resolve().parents[2] / "shared"
SIDE, REGION = Size(480, 480), Box(100, 100, 270, 270)
#: A minute on an idle machine would be far too long; this one may be busy.
LIMIT = 120

Change = Callable[[Path], None]


def rewrite(change: Callable[[bytes], bytes]) -> Change:
    return lambda path: _keep(path.write_bytes(change(path.read_bytes())))


def tag(name: str, change: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Change:
    def edit(path: Path) -> None:
        with tifffile.TiffFile(path, mode="r+") as tiff:
            entry = tiff.pages.first.tags[name]
            entry.overwrite(change(entry.value))

    return edit


def instead(make: Callable[[Path], object]) -> Change:
    """Put something else in the slide's place."""

    def replace(path: Path) -> None:
        path.unlink()
        make(path)

    return replace


def _keep(_: object) -> None:
    return None


#: Slide -> what is done to its file, and what the message says; None where it is built.
SLIDES: dict[str, tuple[Change, str | None]] = {
    "half": (rewrite(lambda data: data[: len(data) // 2]), "an unknown or damaged file"),
    "head": (rewrite(lambda data: data[:2000]), "an unknown or damaged file"),
    "nothing": (rewrite(lambda data: b""), "an unknown or damaged file"),
    "tile-of-no-bytes": (tag("TileByteCounts", lambda v: (0, *v[1:])), None),
    "tiles-elsewhere": (tag("TileOffsets", lambda v: tuple(2**31 for _ in v)), "expected readable pixels"),
    "decimal-comma": (rewrite(lambda data: data.replace(b"MPP = 0.25", b"MPP = 0,25")), None),
    "mpp-nan": (rewrite(lambda data: data.replace(b"MPP = 0.25", b"MPP = nan ")), "--mpp 0.25"),
    "mpp-0": (rewrite(lambda data: data.replace(b"MPP = 0.25", b"MPP = 0.00")), "--mpp 0.25"),
    "latin-1": (rewrite(lambda data: data.replace(b"AppMag = 40", b"App\xe9ag = 40")), None),
    "folder": (instead(lambda path: path.mkdir()), "found a folder"),
    "pipe": (instead(os.mkfifo), "found a pipe, a socket or a device"),
    "device": (instead(lambda path: path.symlink_to("/dev/zero")), "found a link to outside of the folder"),
    "link-out": (instead(lambda path: path.symlink_to("../../../outside.svs")), "found a link to outside"),
    "link-to-nothing": (instead(lambda path: path.symlink_to("nowhere")), "found a link that leads nowhere"),
    "link-to-itself": (instead(lambda path: path.symlink_to(path)), "found a link that leads nowhere"),
    "new\nline": (_keep, "found other bytes, or control characters"),
    os.fsdecode(b"caf\xe9"): (_keep, "found other bytes, or control characters"),
    "two words": (_keep, None),
    "a::b": (_keep, None),
    "-rf": (_keep, None),
    "$(id)": (_keep, None),
    "Case": (_keep, None),
    "case": (_keep, None),
    "x" * 240: (_keep, None),
    "\N{MICROSCOPE}": (_keep, None),
}


def polygon(*points: tuple[float, float]) -> bytes:
    return json.dumps({"type": "Polygon", "coordinates": [[*points, points[0]]]}).encode()


ENTITIES = b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;">]><Annotations>&b;</Annotations>'
#: Slide -> suffix and content of its regions, and what the message says; None where it is built.
REGIONS: dict[str, tuple[str, bytes, str | None]] = {
    "r-crosses-itself": (".geojson", polygon((100, 100), (370, 370), (370, 100), (100, 370)), None),
    "r-nan": (".geojson", polygon((0, 0), (float("nan"), 9), (9, 9)), "found NaN is no number"),
    "r-infinity": (".geojson", polygon((0, 0), (float("inf"), 9), (9, 9)), "found Infinity is no number"),
    "r-far": (".geojson", polygon((0, 0), (1e300, 9), (9, 9)), "found 1e+300"),
    "r-nested": (".geojson", b"[" * 10**6, "found JSON nested without end"),
    "r-100-mb": (".geojson", b'{"type": "FeatureCollection", "features": [' + b" " * 10**8 + b"]}", "found 95 MiB"),
    "r-latin-1": (".geojson", '{"type": "Polygon", "é": 1}'.encode("latin-1"), "expected JSON"),
    "r-entities": (".xml", ENTITIES, "found DTDForbidden"),
    "r-outside": (".xml", b'<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><a>&a;</a>', "found DTDForbidden"),
    "r-dtd": (".xml", b'<!DOCTYPE a SYSTEM "http://localhost:1/a.dtd"><a/>', "found DTDForbidden"),
    "r-html": (".xml", b"<html>Sign in</html>", "expected ImageScope's Annotations, found html"),
    "r-elements": (".xml", b"<Annotations>" + b"<a/>" * 1_100_000 + b"</Annotations>", "1000000 elements"),
    "r-mask-bomb": (".png", png(30000, 30000, 0, bytes(10**7)), "expected a PNG of at most"),
    "r-crop-bomb": ("_1.png", png(30000, 30000, 6, bytes(10**7)), "expected a PNG of at most"),
    "r-cut": (".png", png(480, 480, 0, b""), "expected a whole PNG"),
}
#: What stands where a slide's regions should be.
ENTRIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "e-pipe": (os.mkfifo, "found a pipe, a socket or a device"),
    "e-link": (lambda path: path.symlink_to("/etc/hostname"), "found a link to outside of the folder"),
    "e-nothing": (lambda path: path.symlink_to("nowhere"), "found a link that leads nowhere"),
}
REFUSED = {
    **{name: said for name, (_, said) in SLIDES.items() if said},
    **{name: said for name, (_, _, said) in REGIONS.items() if said},
    **{name: said for name, (_, said) in ENTRIES.items()},
}
BUILT = {*SLIDES, *REGIONS, *ENTRIES, "good"} - set(REFUSED)


def lay_out(root: Path) -> tuple[Path, Path]:
    """Draw the slides and spoil them; returns the folders of slides and regions."""
    slides, regions = root / "in" / "WSI", root / "in" / "regions"
    (slides / "3+").mkdir(parents=True)
    write_slide(root / "outside.svs", "3+", 999, SIDE)
    for seed, name in enumerate(("good", *SLIDES, *REGIONS, *ENTRIES)):
        path = write_slide(slides / "3+" / f"{name}.svs", "3+", seed, SIDE).path
        if name in REGIONS:
            suffix, content, _ = REGIONS[name]
            (regions / f"{name}{suffix}").write_bytes(content)
        elif name in ENTRIES:
            ENTRIES[name][0](regions / f"{name}.geojson")
        else:
            write_qupath(regions / f"{name}.geojson", (REGION,))
        SLIDES.get(name, (_keep, None))[0](path)
    write_slide(slides / "3+" / ".hidden.svs", "3+", 998, SIDE)
    return slides, regions


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    root = tmp_path_factory.mktemp("bad")
    slides, regions = lay_out(root)
    options = ["--patch-size", "256", "--intensity", "none", "--hue-filter", "off", "--workers", "1"]
    arguments = ["build", slides, "--regions", regions, "--out", root / "in" / "out", *options]
    return root, run_program(arguments, timeout=LIMIT)


def test_all_bad_input_at_once_is_quarantined_and_the_rest_built(
    built: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    root, done = built
    assert done.returncode == 3, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    assert set(read_manifest(root / "in" / "out").units) == BUILT
    assert verify_folder(root / "in" / "out", workers=1).problems == ()


def test_nothing_is_written_elsewhere(built: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    root, _ = built
    assert {path.name for path in root.iterdir()} == {"in", "outside.svs"}
    assert {path.name for path in (root / "in").iterdir()} == {"WSI", "regions", "out", "out-report"}


@pytest.mark.parametrize("name", REFUSED, ids=ascii)
def test_the_message_names_the_slide_what_was_found_and_what_to_do(
    name: str, built: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    shown = os.fsencode(name).decode("utf-8", "backslashreplace").replace("\n", "\\n")
    lines = [line for line in built[1].stderr.splitlines() if line.startswith("quarantined ")]
    line = next(line for line in lines if line.split(": ")[0].removesuffix(".svs").endswith((f" {shown}", f"/{shown}")))
    assert REFUSED[name] in line
    assert line.endswith(".")


TABLES = {
    "a path in an id": ("--labels", b"slide_id,label\n../../good,3+\n", "names slides that are not there: ../../good"),
    "an absolute id": ("--splits", b"slide_id,wsi_split\ngood,train\n/etc/good,test\n", "/etc/good"),
    "other bytes": ("--labels", b"slide_id,label\ncaf\xe9,3+\n", "expected UTF-8"),
    "a table of nulls": ("--splits", b"\0" * 1000, "NUL characters"),
    "two classes": ("--labels", b"slide_id,label\ngood,0\n", "Correct one of the two"),
}


@pytest.mark.parametrize(("option", "content", "said"), TABLES.values(), ids=TABLES)
def test_tables_name_what_is_wrong_with_them(
    option: str, content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slides, regions = _folders(tmp_path)
    (tmp_path / "table.csv").write_bytes(content)
    given = [option, str(tmp_path / "table.csv"), "--patch-size", "256"]
    assert main(["plan", str(slides.parent), "--regions", str(regions), *given]) in (0, 1, 3)
    assert said in "".join(capsys.readouterr())


def test_two_slides_of_one_id_are_both_in_quarantine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slides, regions = _folders(tmp_path)
    (slides.parent / "0").mkdir()
    for seed, twin in enumerate((slides / "twin.svs", slides.parent / "0" / "twin.svs"), 1):
        write_slide(twin, "3+", seed, SIDE)
    write_qupath(regions / "twin.geojson", (REGION,))
    given = ["--regions", str(regions), "--out", str(tmp_path / "out"), "--patch-size", "256"]
    assert main(["build", str(slides.parent), *given]) == 3
    said = "".join(capsys.readouterr())
    assert "0/twin.svs" in said
    assert "3+/twin.svs" in said
    assert list(read_manifest(tmp_path / "out").units) == ["good"]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Two slides, with regions of each kind."""
    return draw_cohort(tmp_path_factory.mktemp("two"), {"B": "3+", "C": "3+"})


@pytest.mark.parametrize("place", [None, 0, 20], ids=["whole", "first-byte", "byte-20"])
@pytest.mark.parametrize("kind", ["masks/C.png", "ROI/3+/C_1.png", "qupath/C.geojson"])
def test_a_region_file_with_a_flipped_bit_stops_its_slide_wherever_the_bit_is(
    kind: str, place: int | None, two: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    regions = shutil.copytree(two.root / kind.split("/", maxsplit=1)[0], tmp_path / "regions")
    file = regions / kind.split("/", maxsplit=1)[1]
    data = bytearray(file.read_bytes())
    if place is not None:
        data[place] ^= 0x40
        file.write_bytes(data)
    given = ["--patch-size", "256", "--intensity", "none", "--workers", "1", "--out", str(tmp_path / "out")]
    done = main(["build", str(two.slides), "--regions", str(regions), *given])
    said = capsys.readouterr().err
    assert done == (0 if place is None else 3), said
    assert set(read_manifest(tmp_path / "out").units) == ({"B", "C"} if place is None else {"B"})
    assert (f"quarantined C: {file}" in said) == (place is not None), said


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
def test_real_odd_and_hostile_files_as_slides_leave_a_good_one_built(tmp_path: Path) -> None:
    slides, regions = _folders(tmp_path)
    for path in sorted([*(SHARED / "odd_slides").iterdir(), *(SHARED / "hostile").iterdir()]):
        name = f"{path.stem}-{path.suffix[1:]}"
        shutil.copyfile(path, slides / f"{name}.svs")
        write_qupath(regions / f"{name}.geojson", (REGION,))
    for path in (SHARED / "annotations").iterdir():
        shutil.copyfile(path, regions / path.name)
    options = [
        "--patch-size",
        "256",
        "--intensity",
        "none",
        "--hue-filter",
        "off",
        "--mpp",
        "0.25",
        "--white",
        "240,240,240",
    ]
    arguments = ["build", slides.parent, "--regions", regions, "--out", tmp_path / "out", *options, "--workers", "2"]
    done = run_program(arguments, timeout=LIMIT)
    assert done.returncode == 3, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    assert "good" in read_manifest(tmp_path / "out").units
    assert verify_folder(tmp_path / "out", workers=1).problems == ()


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
@pytest.mark.parametrize("suffix", ["_1.png", ".png"])
def test_real_hostile_pictures_as_regions_stop_their_slides_alone(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slides, regions = _folders(tmp_path)
    pictures = sorted((SHARED / "hostile").glob("*.png"))
    for seed, path in enumerate(pictures, start=1):
        write_slide(slides / f"s{seed}.svs", "3+", seed, SIDE)
        shutil.copyfile(path, regions / f"s{seed}{suffix}")
    assert main(["plan", str(slides.parent), "--regions", str(regions), "--patch-size", "256"]) == 3
    said = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("quarantine s") for line in said) == len(pictures)
    assert any(line.startswith("good ") for line in said)


def _folders(root: Path) -> tuple[Path, Path]:
    """The folders of a good slide and of its regions."""
    slides, regions = root / "WSI" / "3+", root / "regions"
    slides.mkdir(parents=True)
    write_slide(slides / "good.svs", "3+", 0, SIDE)
    write_qupath(regions / "good.geojson", (REGION,))
    return slides, regions
