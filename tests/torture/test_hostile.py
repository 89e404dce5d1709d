"""Hostile input: the real commands on files with flipped bytes and damaged structures end with an error in words.

Or with what is right: nothing else, not late, not with a gigabyte of memory, and nothing is written elsewhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from damage import unpack
from drawn_slides import write_qupath
from her2_ihc_40x_builder.demo.synthetic import write_slide
from her2_ihc_40x_builder.geometry import Box, Size
from her2_ihc_40x_builder.slides.slide import open_slide
from torture.campaign import points
from torture.hostile import FLIPS, HANG, mutants

TESTS = Path(__file__).resolve().parents[1]
SIDE, REGION = 480, Box(100, 100, 270, 270)


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory, release: Path, shards: Path) -> Path:
    """What is spoiled: two small slides with their regions in every form, a release, and its shards."""
    root = tmp_path_factory.mktemp("ground")
    slides = root / "slides"
    for folder in ("WSI/3+", "ROI/3+", "masks", "xml"):
        (slides / folder).mkdir(parents=True)
    cytomine = []
    for number, name in enumerate(("good", "bad")):
        path = write_slide(slides / "WSI" / "3+" / f"{name}.svs", "3+", number, Size(SIDE, SIDE)).path
        write_qupath(slides / "qupath" / f"{name}.geojson", (REGION,))
        left, top, right, bottom = REGION.x, REGION.y, REGION.right, REGION.bottom
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in corners)
        region = f'<Region Id="1" Type="0" Text="" NegativeROA="0"><Vertices>{vertices}</Vertices></Region>'
        (slides / "xml" / f"{name}.xml").write_text(
            f'<Annotations><Annotation Id="1" Name="Tumor"><Regions>{region}</Regions></Annotation></Annotations>'
        )
        ring = ", ".join(f"{x} {SIDE - y}" for x, y in (*corners, corners[0]))
        cytomine.append({"id": number + 1, "instanceFilename": path.name, "location": f"POLYGON(({ring}))"})
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[top:bottom, left:right] = 255
        Image.fromarray(mask).save(slides / "masks" / f"{name}.png")
        with open_slide(path) as slide:
            Image.fromarray(slide.read_region(REGION)).save(slides / "ROI" / "3+" / f"{name}_1.png")
    (slides / "cytomine.json").write_text(json.dumps(cytomine))
    (root / "release").symlink_to(release)
    (root / "shards").symlink_to(shards)
    unpack(release, root / "unpacked")
    path = min((root / "unpacked").rglob("*.png"))
    Image.open(path).save(path.with_suffix(".jpg"))
    path.unlink()
    return root


@pytest.mark.parametrize("point", points(short=1, long=100))
def test_a_spoiled_file_is_refused_in_words_or_read_rightly(point: int, ground: Path) -> None:
    path = os.pathsep.join([str(TESTS), *sys.path])
    run = [sys.executable, "-m", "torture.hostile", str(ground), str(point)]
    done = subprocess.run(run, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False)
    tried = [json.loads(line) for line in done.stdout.splitlines()]
    for one in tried:
        print(json.dumps(one))
        alone = f"mutant {one['number']} of point {point}, {one['what']}"
        assert one["outcome"] in ("refused", "correct"), f"{alone}:\n{one['outcome']}"
        assert one["seconds"] < HANG, alone
        assert one["peak_kb"] < 1_000_000, alone
    assert done.returncode == 0, f"after {len(tried)} of {len(mutants(point))} mutants: {done.stderr[-3000:]}"
    assert len(tried) == len(mutants(point)) >= FLIPS
