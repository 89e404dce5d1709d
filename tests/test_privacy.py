"""Nothing that could name a patient reaches an output, a report or a log: markers in every place that could."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

from drawn_slides import PATCH, Cohort, boxes, draw_one
from her2_ihc_40x_builder.geometry import Box
from her2_ihc_40x_builder.slides.fingerprint import fingerprint
from her2_ihc_40x_builder.slides.slide import open_slide
from planted_names import found_in, texts_in
from program import Program, run_program

#: slide -> the name that a hospital gave it. Each comes with its regions in another form.
NAMES = {"A": "S21-77001_Virtanen", "B": "21-H-0077002", "C": "131052-308T", "D": "Korhonen_Aino"}
CASES = {"A": "MRN7700311", "B": "MRN7700312", "C": "Meikalainen", "D": "HETU-010101A123N"}
LOST, BROKEN, UNSCORED = "Nieminen_Eino", "Laine_Helmi", "Heikkila_Toini"
KEY = b"a key for tests, of more than thirty-two bytes"

#: In the slides' own texts.
HEADER = {
    "Filename": "7700411-Makinen",
    "ImageID": "7700412",
    "Date": "03/04/57",
    "Time": "07:57:13",
    "User": "b1f2c3d4-operator-Salo",
    "ScanScope ID": "SS7700413",
    "Title": "biopsy of Mrs Lehto",
    "DSR ID": "resc3-dsr7700414",
}
#: In the annotations: names, free text, and numbers of users, projects and images.
TEXTS = {
    "region name": "margin of Mrs Salminen",
    "description": "see letter to Dr Karjalainen",
    "numeric name": "7700519",
    "user": "7700511",
    "project": "7700512",
    "image": "7700513",
    "user name": "jlaitinen",
    "project name": "Oulu-2021-biobank",
}
UUID, ANNOTATION, CROP = "6423a977-ffff-48db-affc-cd1163770061", "7700611", "lesion-of-Aino"
MAGENTA = (255, 0, 255)


def draw_clinic(cohort: Cohort, root: Path) -> None:
    """The slides and regions of a careless hospital, and `labels.csv`."""
    for slide, name in NAMES.items():
        path = root / "WSI" / cohort.slide(slide).parent.name / f"{name}.svs"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cohort.slide(slide).read_bytes())
        add_label_and_texts(path)
    (root / "WSI" / "0" / f"{LOST}.svs").write_bytes(b"no slide at all")
    (root / "WSI" / "unsorted").mkdir()
    (root / "WSI" / "unsorted" / f"{UNSCORED}.svs").write_bytes(cohort.slide("B").read_bytes())
    draw_one(root / "WSI" / "0" / f"{BROKEN}.svs", "0", len(NAMES))
    regions = root / "regions"
    regions.mkdir()
    (regions / f"{BROKEN}.geojson").write_text(json.dumps({"type": "Feature", "geometry": TEXTS["description"]}))
    (regions / "Rantanen_Veikko.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    write_qupath(regions / f"{NAMES['A']}.geojson")
    write_cytomine(regions / "cytomine.json", f"{NAMES['B']}.svs")
    write_imagescope(regions / f"{NAMES['C']}.xml")
    with open_slide(cohort.slide("D")) as opened:
        Image.fromarray(opened.read_region(boxes()[0])).save(regions / f"{NAMES['D']}_{CROP}.png")
    lines = ["slide_id,case_id,physician"] + [f"{NAMES[slide]},{CASES[slide]},Dr Karjalainen" for slide in NAMES]
    (root / "labels.csv").write_text("\n".join(lines))


def add_label_and_texts(path: Path) -> None:
    """Add the texts to a slide's description, and a label and a macro image in a colour that no slide has."""
    with tifffile.TiffFile(path) as tiff:
        description = tiff.pages.first.description
    pixels = np.full((96, 160, 3), MAGENTA, np.uint8)
    with tifffile.TiffWriter(path, append=True) as tiff:
        for kind, subfile in (("label", 1), ("macro", 9)):  # by which OpenSlide knows them
            text = f"Aperio Image Library v12.0.15\r\n{kind} 160x96|Title = {HEADER['Title']}"
            tiff.write(
                pixels,
                photometric="rgb",
                compression="jpeg",
                subfiletype=subfile,
                rowsperstrip=96,
                metadata=None,
                description=text,
            )
    tifffile.tiffcomment(path, "|".join([description, *(f"{key} = {value}" for key, value in HEADER.items())]))
    with openslide.OpenSlide(path) as slide:
        assert slide.properties["aperio.User"] == HEADER["User"]
        assert set(slide.associated_images) >= {"label", "macro"}


def corners(box: Box, height: int | None = None) -> list[list[int]]:
    points = [[box.x, box.y], [box.right, box.y], [box.right, box.bottom], [box.x, box.bottom], [box.x, box.y]]
    return points if height is None else [[x, height - y] for x, y in points]


def write_qupath(path: Path) -> None:
    features = [
        {
            "type": "Feature",
            "id": UUID if at == 0 else None,
            "geometry": {"type": "Polygon", "coordinates": [corners(box)]},
            "properties": {
                "objectType": "annotation",
                "name": TEXTS["numeric name"] if at == 0 else TEXTS["region name"],
                "description": TEXTS["description"],
                "metadata": {"owner": TEXTS["user name"]},
            },
        }
        for at, box in enumerate(boxes())
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def write_cytomine(path: Path, file_name: str) -> None:
    wkt = ", ".join(f"{x} {y}" for x, y in corners(boxes()[0], 1200))
    fields = {
        "id": int(ANNOTATION),
        "location": f"POLYGON(({wkt}))",
        "instanceFilename": file_name,
        "user": int(TEXTS["user"]),
        "creator": TEXTS["user name"],
        "project": int(TEXTS["project"]),
        "projectName": TEXTS["project name"],
        "image": int(TEXTS["image"]),
        "description": TEXTS["description"],
        "properties": [{"key": "name", "value": TEXTS["region name"]}],
    }
    path.write_text(json.dumps({"collection": [fields]}))


def write_imagescope(path: Path) -> None:
    vertices = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in corners(boxes()[0])[:4])
    region = f'<Region Id="1" Type="1" Text="{TEXTS["numeric name"]}"><Vertices>{vertices}</Vertices></Region>'
    attribute = f'<Attributes><Attribute Name="Note" Value="{TEXTS["description"]}"/></Attributes>'
    path.write_text(
        f"<Annotations><Annotation Id='1'>{attribute}<Regions>{region}</Regions></Annotation></Annotations>"
    )


# --- What is looked for, and where ---------------------------------------------------------------------------------


def names_of(root: Path) -> set[str]:
    """Every name, id and file name, the folders' too, and fingerprints of names and files that need no key."""
    slides = {*NAMES.values(), LOST, BROKEN, UNSCORED}
    found = {
        *slides,
        *CASES.values(),
        UUID,
        ANNOTATION,
        CROP,
        "Rantanen_Veikko",
        "Karjalainen",
        "Clinic_of_Dr_Hamalainen",
    }
    found |= {path.name for path in root.rglob("*") if path.is_file()} - {"labels.csv", "cytomine.json"}
    hashes = set()
    for name in found:
        for algorithm in ("md5", "sha1", "sha256", "blake2b"):
            hashes.add(hashlib.new(algorithm, name.encode()).hexdigest()[:8])
    for path in root.rglob("*.*"):
        data = path.read_bytes()
        hashes |= {hashlib.new(algorithm, data).hexdigest()[:8] for algorithm in ("md5", "sha1", "sha256")}
    for path in root.rglob("*.svs"):
        hashes.add(fingerprint(path)[:8])
        if openslide.OpenSlide.detect_format(path):
            with open_slide(path) as slide:
                hashes.add(slide.content_key[:8])
    return found | hashes


@pytest.fixture(scope="module")
def clinic(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hospital") / "Clinic_of_Dr_Hamalainen"
    root.mkdir()
    draw_clinic(cohort, root)
    return root


def command(clinic: Path, out: Path, *more: str) -> list[str]:
    arguments = [str(clinic / "WSI"), "--regions", str(clinic / "regions"), "--labels", str(clinic / "labels.csv")]
    return ["build", *arguments, "--out", str(out), "--patch-size", str(PATCH), "--report-dropped", *more]


def test_under_a_key_no_name_reaches_output_report_log_or_what_a_killed_run_leaves(
    clinic: Path, tmp_path: Path
) -> None:
    key = tmp_path / "private" / "key"
    key.parent.mkdir()
    key.write_bytes(KEY)
    key.chmod(0o600)
    out = tmp_path / "made" / "out"
    run = command(clinic, out, "--pseudonymize", str(key))
    everything = names_of(clinic) | set(HEADER.values()) | set(TEXTS.values())
    first = Program([*run, "--workers", "1"])
    said = next(line for line in first.stdout if "windows" in line)
    first.kill()
    left = first.communicate()
    assert not out.exists()
    log = (said + left.stdout + left.stderr).replace(str(key), "")
    assert found_in(everything, [*texts_in(out.parent), ("log", log.encode())]) == set()

    done = run_program([*run, "--workers", "2"])
    assert done.returncode == 3, done.stderr
    assert re.search("4 slides; [1-4] of them were done already", done.stdout)
    log = done.stdout.replace(str(key), "") + done.stderr.replace(str(key), "")
    assert found_in(everything, [*texts_in(out.parent), ("log", log.encode())]) == set()
    assert sorted(path.name for path in out.parent.iterdir()) == ["out", "out-report"]
    assert len(list((out.parent / "out-report").glob("*.png"))) == 4

    book = json.loads(key.with_name("key.names.json").read_text())
    assert set(book["slides"].values()) == {*NAMES.values(), BROKEN, UNSCORED}
    assert list(book["files"].values()) == [f"0/{LOST}.svs"]
    assert set(book["cases"].values()) == set(CASES.values())
    assert {one["region"] for one in book["regions"].values()} >= {UUID, ANNOTATION, CROP}
    quarantined = [line.split()[1].rstrip(":") for line in done.stderr.splitlines() if line.startswith("quarantined ")]
    resolved = {{**book["slides"], **book["files"]}[pseudonym] for pseudonym in quarantined}
    assert resolved == {f"0/{LOST}.svs", BROKEN, UNSCORED}
    assert any("Karjalainen" in note or "physician" in note for note in book["notes"])


def test_an_error_that_stops_the_build_tells_no_name_either(clinic: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(f"slide_id,label\n{NAMES['A']},as Mrs Salminen said\n")
    more = ["--labels", str(tmp_path / "labels.csv"), "--pseudonymize", str(tmp_path / "key")]
    done = run_program(command(clinic, tmp_path / "out", *more))
    assert done.returncode == 1
    assert "LabelError. Note 1 in " in done.stderr
    assert found_in({*names_of(clinic), "Salminen"}, [("log", (done.stdout + done.stderr).encode())]) == set()
    assert "Salminen" in json.loads((tmp_path / "key.names.json").read_text())["notes"][0]
    assert not (tmp_path / "out").exists()


def test_without_a_key_texts_label_and_macro_stay_out_all_the_same(clinic: Path, tmp_path: Path) -> None:
    done = run_program(command(clinic, tmp_path / "out", "--intensity", "none", "--workers", "1"))
    assert done.returncode == 3, done.stderr
    texts = [*texts_in(tmp_path), ("log", (done.stdout + done.stderr).encode())]
    assert found_in(set(HEADER.values()) | set(TEXTS.values()), texts) == set()
    # The names themselves are there, which shows that the search finds them.
    there = {marker for marker, _ in found_in(names_of(clinic), texts)}
    assert there >= {*NAMES.values(), *CASES.values(), LOST, BROKEN, UUID, ANNOTATION, CROP}
    with open_slide(next(clinic.rglob(f"{NAMES['A']}.svs"))) as slide:
        assert slide.content_key[:8] in there
    pictures = [*(tmp_path / "out").glob("figures/*.png"), *(tmp_path / "out-report").glob("*.png")]
    assert len(pictures) > 4
    for path in pictures:
        with Image.open(path) as image:
            distance = np.abs(np.asarray(image.convert("RGB")).astype(int) - MAGENTA).max(axis=2)
        assert distance.min() >= 40, path
