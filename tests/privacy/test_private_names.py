"""A build under pseudonyms: the same patches on the same sides, and a file of the owner's that says what hides what."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from drawn_slides import PATCH, SCORES, Cohort, build, contents, rows
from her2_ihc_40x import Her2Error, ReleaseError
from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.errors import OutputError, RegionError, SlideError
from her2_ihc_40x_builder.forking import worker_context
from her2_ihc_40x_builder.privacy.private_names import PrivateNames, _listed, open_names
from her2_ihc_40x_builder.privacy.pseudonyms import Key
from her2_ihc_40x_builder.shards.manifest import read_manifest
from her2_ihc_40x_builder.slide_plan import BuildPlan
from program import exit_code

KEY = Key(bytes(range(32)))
#: What a pseudonym stands in for, in rows and shards.
NAMED = ("slide_id", "case_id", "patch_id", "roi_id")


def private(folder: Path, key: Key = KEY) -> PrivateNames:
    return PrivateNames(key, folder / "key.names.json")


def book(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "key.names.json").read_text())
    return content


def patches(out: Path, slides: dict[str, str], regions: dict[str, Any]) -> set[tuple[Any, ...]]:
    """Every row under the slide's and region's own name, with its image's hash and the sides of its file."""
    found = set()
    for shard in read_manifest(out).shards:
        for row in rows_of(out / shard.path):
            slide, region = slides.get(row["slide_id"], row["slide_id"]), regions.get(row["roi_id"], row["roi_id"])
            rest = tuple(value for name, value in sorted(row.items()) if name not in (*NAMED, "image"))
            found.add((slide, region, *shard.path.split("/")[1:3], *rest))
    return found


def rows_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def test_it_moves_no_side_and_no_pixel(cohort: Cohort, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("slide_id,case_id,mpp\nA,Doe,0.26\nB,Roe,\nC,Poe,\nD,Noe,\n")
    splits = tmp_path / "splits.csv"
    splits.write_text("patch_id,patch_split\nA-x324-y324,test\nC-x324-y324,train\n")
    given: dict[str, Any] = {"labels": labels, "splits": splits, "hue_filter": "authors"}
    build(cohort, tmp_path / "plain", **given)
    build(cohort, tmp_path / "out", names=private(tmp_path), **given)
    names = book(tmp_path)
    regions = {pseudonym: one["region"] for pseudonym, one in names["regions"].items()}
    expected = patches(tmp_path / "plain", {}, {})
    assert patches(tmp_path / "out", names["slides"], regions) == expected
    assert expected
    assert sorted(names["slides"].values()) == sorted(SCORES)
    assert sorted(names["cases"].values()) == ["Doe", "Noe", "Poe", "Roe"]
    assert {row["mpp"] for row in rows(tmp_path / "out")} == {0.25, 0.26}
    for row in rows(tmp_path / "out"):
        assert row["patch_id"] == f"{row['slide_id']}-x{row['x']}-y{row['y']}"
        assert row["image"]["path"] == f"{row['patch_id']}.png"


def test_it_is_gone_on_with_under_the_same_key_and_keeps_previous_sides(
    own_cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, splits = tmp_path / "out", tmp_path / "splits.csv"
    splits.write_text("slide_id,wsi_split\nA,test\nB,test\nC,train\nD,test\n")  # as no draw would have it
    build(own_cohort, out, names=private(tmp_path), splits=splits)
    before = contents(out)
    assert len(build(own_cohort, out, names=private(tmp_path), splits=splits).reused) == len(SCORES)
    assert contents(out) == before
    assert len(build(own_cohort, out, names=private(tmp_path), previous=out).reused) == len(SCORES)
    (tmp_path / "key").write_bytes(KEY.secret)
    (tmp_path / "key").chmod(0o600)
    inputs = [str(own_cohort.slides), "--regions", str(own_cohort.regions), "--patch-size", str(PATCH)]
    keyed = ["--previous", str(out), "--pseudonymize", str(tmp_path / "key")]
    assert main(["plan", *inputs, *keyed]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[2] for line in shown if line[0] in SCORES] == ["test", "test", "train", "test"]
    names = book(tmp_path)["slides"]
    sides = {names[slide]: unit["wsi_side"] for slide, unit in read_manifest(out).units.items()}
    assert sides == {"A": "test", "B": "test", "C": "train", "D": "test"}


def test_another_key_shares_no_mark_and_is_no_previous(cohort: Cohort, built: Path, tmp_path: Path) -> None:
    other = Key(bytes(range(1, 33)))
    (tmp_path / "other").mkdir()
    build(cohort, tmp_path / "out", intensity="none", names=private(tmp_path))
    build(cohort, tmp_path / "other" / "out", intensity="none", names=private(tmp_path / "other", other))
    marks = []
    for out in (built, tmp_path / "out", tmp_path / "other" / "out"):
        units = read_manifest(out).units
        found = {unit[mark] for unit in units.values() for mark in ("inputs", "content_key", "surveyed")} | set(units)
        marks.append(found | {read_manifest(out).report["hue_filter"]["inputs"]})
    assert not marks[0] & marks[1]
    assert not marks[0] & marks[2]
    assert not marks[1] & marks[2]
    for names, previous in [(None, tmp_path / "out"), (private(tmp_path / "other", other), tmp_path / "out")]:
        with pytest.raises(Her2Error) as error:
            build(cohort, tmp_path / "new", names=names, previous=previous)
        assert isinstance(error.value, ReleaseError)
    assert "the same --pseudonymize" in book(tmp_path / "other")["notes"][-1]
    with pytest.raises(OutputError, match="--overwrite"):
        build(cohort, tmp_path / "out", intensity="none")


@pytest.mark.parametrize("second", ["a new key", "another key", "a new key for a data set without one"])
def test_a_key_that_is_refused_leaves_nothing_new(
    cohort: Cohort, built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], second: str
) -> None:
    out = tmp_path / "out"
    if second.endswith("without one"):
        shutil.copytree(built, out)
    else:
        build(cohort, out, intensity="none", names=private(tmp_path))
    if second == "another key":
        (tmp_path / "second").write_bytes(b"another key of thirty-two bytes!")
        (tmp_path / "second").chmod(0o600)
    before = sorted(tmp_path.rglob("*"))
    inputs = [str(cohort.slides), "--regions", str(cohort.regions), "--patch-size", str(PATCH), "--intensity", "none"]
    arguments = ["build", *inputs, "--out", str(out), "--pseudonymize", str(tmp_path / "second")]
    assert main(arguments) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_names_without_their_key_are_no_place_for_a_new_one(tmp_path: Path) -> None:
    private(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError, match="Put the key back"):
        open_names(tmp_path / "key")
    assert sorted(tmp_path.iterdir()) == before


def test_trouble_is_told_by_its_kind_and_noted_in_full(own_cohort: Cohort, tmp_path: Path) -> None:
    (own_cohort.regions / "B.geojson").write_text('{"type": "FeatureCollection", "features": [{"Mrs": "Doe"}]}')
    own_cohort.slide("A").write_bytes(b"no slide")
    result = build(own_cohort, tmp_path / "out", intensity="none", names=private(tmp_path))
    told = {name: str(error) for name, error in result.plan.quarantined.items()}
    names = book(tmp_path)
    assert [{**names["slides"], **names["files"]}[name] for name in sorted(told)] == ["0/A.svs", "B"]
    (slide,) = (name for name in told if name.startswith("slide-"))
    number = int(told[slide].split("Note ")[1].split()[0])
    assert isinstance(result.plan.quarantined[slide], RegionError)
    assert "B.geojson" in names["notes"][number - 1]
    assert "B.geojson" not in "".join(told.values()) + "".join(result.plan.warnings)


def test_an_error_that_nobody_expected_is_noted_with_its_traceback(tmp_path: Path) -> None:
    names = private(tmp_path)
    with pytest.raises(Her2Error, match="KeyError") as error, names.telling():
        raise KeyError("Doe")
    assert "Doe" not in str(error.value)
    with pytest.raises(OutputError, match="No such file") as missing, names.telling():
        (tmp_path / "Doe.csv").read_text()
    assert "Doe" not in str(missing.value)
    assert ["KeyError: 'Doe'" in book(tmp_path)["notes"][0], "Doe.csv" in book(tmp_path)["notes"][1]] == [True, True]


def note_twenty(folder: Path, which: str) -> list[str]:
    names = private(folder)
    error = SlideError("Doe", "a", "b", "c")
    return [str(names.told(f"slide-{which}-{each}", error)) for each in range(20)]


def note_of(names: PrivateNames, text: str) -> int:
    told = str(names.told("slide-x", RegionError(text, "a region", "none", "Draw one.")))
    return int(told.split("Note ")[1].split()[0])


def test_a_note_keeps_its_number_for_good(tmp_path: Path) -> None:
    first = private(tmp_path)
    assert [note_of(first, text) for text in ("Doe", "Roe", "Doe")] == [1, 2, 1]
    later, plan = private(tmp_path), BuildPlan((), {}, ("Poe may be Doe", "Noe may be Roe"))
    assert [note_of(later, "Roe"), note_of(first, "Loe"), note_of(later, "Moe")] == [2, 3, 4]
    for names in (first, later, private(tmp_path)):
        (warning,) = names.renamed(plan).warnings
        assert warning.startswith("2 warnings may name slides or patients: see notes 5 to 6 in ")
    notes = book(tmp_path)["notes"]
    assert [any(name in notes[at] for name in ("Doe", "Roe", "Loe", "Moe")) for at in range(6)] == [True] * 6
    assert "Roe" in notes[1]
    assert len(notes) == 6


def test_builds_at_once_share_no_number(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=worker_context()) as builds:
        runs = [builds.submit(note_twenty, tmp_path, which) for which in "ab"]
    told = [line for run in runs for line in run.result()]
    notes = book(tmp_path)["notes"]
    assert len(told) == len(notes) == 40
    for line in told:
        subject, _, rest = line.partition(":")
        assert notes[int(rest.split("Note ")[1].split()[0]) - 1].startswith(f"{subject}: Doe")


@pytest.mark.parametrize(
    ("numbers", "words"), [([4], "note 4"), ([2, 1, 1], "notes 1 to 2"), ([7, 1, 2, 3, 9], "notes 1 to 3, 7, 9")]
)
def test_notes_are_listed_in_runs(numbers: list[int], words: str) -> None:
    assert _listed(numbers) == words


# --- The file of names --------------------------------------------------------------------------------------------


def test_names_of_earlier_runs_stay_and_nobody_else_reads_them(own_cohort: Cohort, tmp_path: Path) -> None:
    build(own_cohort, tmp_path / "out", intensity="none", names=private(tmp_path))
    for folder in (own_cohort.slides / "3+", own_cohort.regions):
        for path in folder.glob("D.*"):
            path.rename(path.with_stem("E"))
    (tmp_path / "key.names.json").chmod(0o644)
    build(own_cohort, tmp_path / "out", intensity="none", names=private(tmp_path))
    assert sorted(book(tmp_path)["slides"].values()) == ["A", "B", "C", "D", "E"]
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "key.names.json").stat().st_mode) == 0o600
    assert not list(tmp_path.glob(".*.part"))


def die_as_it_writes(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", lambda part, target: os.kill(os.getpid(), signal.SIGKILL))
        private(folder)


@pytest.mark.skipif(os.name != "posix", reason="signals and links of POSIX")
def test_what_a_run_that_was_killed_as_it_wrote_left_is_removed_by_the_next(tmp_path: Path) -> None:
    names = private(tmp_path)
    with pytest.raises(Her2Error), names.telling():
        raise KeyError("Doe")
    there = {path.name for path in tmp_path.iterdir()}
    left = []
    for _ in range(2):
        assert exit_code(die_as_it_writes, tmp_path) == -signal.SIGKILL
        left.append({path.name for path in tmp_path.iterdir()} - there)
    assert [len(names) for names in left] == [1, 1]
    assert left[0] != left[1]  # the second removed what the first left
    mine = [".key.names.json.0123456789.part", ".key.names.json.0123456x.part", "key.names.json.01234567.part"]
    mine += [".other.names.json.01234567.part", ".key.names.json.01234567.part.txt"]
    for name in mine:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".key.names.json.00000000.part").mkdir()
    (tmp_path / ".key.names.json.11111111.part").symlink_to(tmp_path / mine[0])
    private(tmp_path)
    kept = {*there, *mine, ".key.names.json.00000000.part", ".key.names.json.11111111.part"}
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_run_with_another_key_removes_nothing(tmp_path: Path) -> None:
    private(tmp_path, Key(b"another key of thirty-two bytes!"))
    (tmp_path / ".key.names.json.01234567.part").write_text("names")
    with pytest.raises(OutputError, match="names of key"):
        private(tmp_path)
    assert (tmp_path / ".key.names.json.01234567.part").exists()


@pytest.mark.parametrize(
    "there", ["names of another key", '{"format": "x"}', "no JSON", "[]", "[" * 100_000, "odd notes"]
)
def test_a_file_that_is_not_of_this_key_is_never_touched(tmp_path: Path, there: str) -> None:
    path = tmp_path / "key.names.json"
    if there == "names of another key":
        private(tmp_path, Key(b"another key of thirty-two bytes!"))
    elif there == "odd notes":
        private(tmp_path)
        path.write_text(json.dumps({**book(tmp_path), "notes": "Doe"}))
    else:
        path.write_text(there)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="names"):
        private(tmp_path)
    assert path.read_bytes() == before


def test_the_key_may_not_lie_where_it_would_be_published(tmp_path: Path) -> None:
    out, report = tmp_path / "out", tmp_path / "report"
    (out / "data").mkdir(parents=True)
    for place in (out / "key", out / "data" / "key", report / "key"):
        with pytest.raises(OutputError, match="outside the output"):
            open_names(place, out, report)
        assert not place.exists()
    names, made = open_names(tmp_path / "key", out, report)
    assert made
    assert names.path == tmp_path / "key.names.json"
    assert open_names(tmp_path / "key", out)[0].key == names.key


def test_the_key_may_not_lie_where_its_names_would_be_read_as_regions(
    cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    regions, out = tmp_path / "regions", tmp_path / "out"
    shutil.copytree(cohort.regions, regions)
    elsewhere = tmp_path / "key"
    elsewhere.write_bytes(KEY.secret)
    (regions / "link").symlink_to(elsewhere)
    for place in (regions / "key", regions / "deeper" / "key", regions / "link"):
        for name in ("plan", "build"):
            run = [name, str(cohort.slides), "--regions", str(regions), "--out", str(out)]
            assert main([*run, "--pseudonymize", str(place)]) == 1
            said = capsys.readouterr().err
            assert f"{place}: expected a key outside the folder of regions, found {regions}. Keep it elsewhere" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "regions"]
    assert {path.name for path in regions.iterdir()} == {"link", *(path.name for path in cohort.regions.iterdir())}


def test_a_link_to_the_key_would_put_the_names_in_the_output(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY.secret)
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "key")
    with pytest.raises(OutputError, match="outside the output"):
        open_names(tmp_path / "out" / "link", tmp_path / "out")


def test_a_pipe_in_the_place_of_the_names_is_not_waited_for(pipe: Path) -> None:
    with pytest.raises(OutputError, match="a file of names, found a pipe"):
        PrivateNames(KEY, pipe)
