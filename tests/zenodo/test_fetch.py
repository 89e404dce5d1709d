"""Fetching a record, against a server on loopback that misbehaves as servers and networks do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from her2_ihc_40x import __version__
from her2_ihc_40x_builder.errors import OutputError
from her2_ihc_40x_builder.zenodo.download import RemoteFile
from her2_ihc_40x_builder.zenodo.fetch import Present, Progress, decide, fetch_record
from her2_ihc_40x_builder.zenodo.http_client import FetchError, Patience
from zenodo_double import PATCH, WSI, Fault, Zenodo, md5, noise

BRIEF = Patience(tries=4, wait=5.0, timeout=5.0, first=0.01)


def fetch(zenodo: Zenodo, to: Path, **options: Any) -> Any:
    return fetch_record("1", to, endpoint=zenodo.url, **{"patience": BRIEF, **options})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_record_arrives_with_its_source(zenodo: Zenodo, tmp_path: Path) -> None:
    told: list[Progress] = []
    done = fetch(zenodo, tmp_path / "a" / "b", progress=told.append)
    folder = tmp_path / "a" / "b"
    assert names(folder) == sorted([WSI, PATCH, "source.json"])
    assert all((folder / name).read_bytes() == data for name, data in zenodo.files.items())
    assert done.new == (folder / WSI, folder / PATCH)
    assert done.kept == ()
    assert json.loads((folder / "source.json").read_bytes()) == {
        "record": "1",
        "doi": "10.5281/zenodo.1",
        "conceptdoi": "10.5281/zenodo.0",
        "version": "v1",
        "licence": "cc-by-sa-4.0",
        "files": [{"name": n, "size": len(d), "checksum": f"md5:{md5(d)}"} for n, d in zenodo.files.items()],
    }
    assert {agent for _, _, agent in zenodo.seen} == {
        f"her2-ihc-40x/{__version__} (+https://doi.org/10.5281/zenodo.15179608)"
    }
    assert [p.done for p in told] == sorted(p.done for p in told)
    assert (told[-1].done, told[-1].total) == (500_000, 500_000)


def test_what_is_there_is_not_fetched_again(zenodo: Zenodo, tmp_path: Path) -> None:
    fetch(zenodo, tmp_path, only="wsi")
    assert names(tmp_path) == sorted([WSI, "source.json"])
    source = (tmp_path / "source.json").read_bytes()
    done = fetch(zenodo, tmp_path)
    assert (done.new, done.kept) == ((tmp_path / PATCH,), (tmp_path / WSI,))
    assert zenodo.ranges(WSI) == zenodo.ranges(PATCH) == [None]
    assert (tmp_path / "source.json").read_bytes() == source


def test_no_licence_is_none(zenodo: Zenodo, tmp_path: Path) -> None:
    del zenodo.record["metadata"]["license"]
    assert fetch(zenodo, tmp_path, only="wsi").record.licence is None
    assert json.loads((tmp_path / "source.json").read_bytes())["licence"] is None


@pytest.mark.parametrize("cut", [0.01, 0.5, 0.99])
def test_a_connection_that_ends_early_is_gone_on_with(zenodo: Zenodo, tmp_path: Path, cut: float) -> None:
    zenodo.faults[WSI] = [Fault(cut=cut, no_length=cut == 0.5)]
    fetch(zenodo, tmp_path, only="wsi")
    assert zenodo.ranges(WSI) == [None, f"bytes={int(300_000 * cut)}-"]
    assert (tmp_path / WSI).read_bytes() == zenodo.files[WSI]


@pytest.mark.parametrize("cut", [0.01, 0.5, 0.99])
def test_another_process_goes_on_where_one_gave_up(zenodo: Zenodo, tmp_path: Path, cut: float) -> None:
    zenodo.faults[WSI] = [Fault(cut=cut)]
    with pytest.raises(FetchError, match=r"ended at \d+ of 300000 bytes"):
        fetch(zenodo, tmp_path, only="wsi", patience=Patience(tries=1))
    assert names(tmp_path) == [f"{WSI}.{md5(zenodo.files[WSI])}.part"]
    fetch(zenodo, tmp_path, only="wsi")
    assert zenodo.ranges(WSI) == [None, f"bytes={int(300_000 * cut)}-"]
    assert (tmp_path / WSI).read_bytes() == zenodo.files[WSI]


def test_a_process_that_is_killed_leaves_what_arrived(zenodo: Zenodo, tmp_path: Path) -> None:
    zenodo.faults[WSI] = [Fault(cut=0.5, hang=True)]
    code = f"""
from pathlib import Path
from her2_ihc_40x_builder.zenodo.fetch import fetch_record
def say(progress):
    print(progress.done, flush=True)
fetch_record("1", Path({str(tmp_path)!r}), only="wsi", endpoint={zenodo.url!r}, progress=say)
"""
    path = os.pathsep.join(sys.path)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert process.stdout is not None
    while int(process.stdout.readline()) < 150_000:
        pass
    # A second one would garble the part.
    with pytest.raises(OutputError, match="one fetch at a time"):
        fetch(zenodo, tmp_path, only="wsi")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert WSI not in names(tmp_path)
    fetch(zenodo, tmp_path, only="wsi")
    assert (tmp_path / WSI).read_bytes() == zenodo.files[WSI]
    kept = int(str(zenodo.ranges(WSI)[-1])[len("bytes=") : -1])
    assert 100_000 < kept <= 150_000


def test_range_ignored_starts_from_the_beginning(zenodo: Zenodo, tmp_path: Path) -> None:
    zenodo.faults[WSI] = [Fault(cut=0.5), Fault(ignore_range=True)]
    told: list[Progress] = []
    fetch(zenodo, tmp_path, only="wsi", progress=told.append)
    assert (tmp_path / WSI).read_bytes() == zenodo.files[WSI]
    assert told[-1].done == 300_000


def test_a_wrong_length_is_refused_before_it_is_read(zenodo: Zenodo, tmp_path: Path) -> None:
    zenodo.faults[WSI] = [Fault(extra=b"more")]
    with pytest.raises(FetchError, match="expected 300000 bytes, found HTTP 200 with 300004 bytes"):
        fetch(zenodo, tmp_path, only="wsi")
    zenodo.faults[WSI] = [Fault(cut=0.5), Fault(extra=b"more")]
    with pytest.raises(FetchError, match="/300004"):
        fetch(zenodo, tmp_path, only="wsi")
    assert WSI not in names(tmp_path)
    assert "source.json" not in names(tmp_path)


def test_a_flipped_bit_is_found_and_nothing_of_it_kept(zenodo: Zenodo, tmp_path: Path) -> None:
    zenodo.faults[WSI] = [Fault(flip=True)]
    with pytest.raises(FetchError, match=f"expected md5 {md5(zenodo.files[WSI])}"):
        fetch(zenodo, tmp_path, only="wsi")
    assert not [name for name in names(tmp_path) if name.startswith(WSI)]
    fetch(zenodo, tmp_path, only="wsi")
    assert zenodo.ranges(WSI) == [None, None]
    assert (tmp_path / WSI).read_bytes() == zenodo.files[WSI]


def test_a_flipped_bit_in_a_part_costs_one_more_download(zenodo: Zenodo, tmp_path: Path) -> None:
    part = tmp_path / f"{WSI}.{md5(zenodo.files[WSI])}.part"
    part.write_bytes(bytes(1000))
    fetch(zenodo, tmp_path, only="wsi")
    assert zenodo.ranges(WSI) == ["bytes=1000-", None]
    assert (tmp_path / WSI).read_bytes() == zenodo.files[WSI]
    assert names(tmp_path) == sorted([WSI, "source.json"])


def test_a_place_below_a_file_is_refused_before_a_server_is_asked(zenodo: Zenodo, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    for place in ("taken", "taken/x/y"):
        with pytest.raises(OutputError, match="taken, which is none"):
            fetch(zenodo, tmp_path / place)
    assert zenodo.seen == []
    assert names(tmp_path) == ["taken"]


def test_a_file_that_stays_wrong_is_given_up(zenodo: Zenodo, tmp_path: Path) -> None:
    zenodo.faults[WSI] = [Fault(cut=0.5), Fault(flip=True), Fault(flip=True)]
    with pytest.raises(FetchError, match="expected md5"):
        fetch(zenodo, tmp_path, only="wsi")
    assert len(zenodo.ranges(WSI)) == 3


def test_a_busy_server_is_asked_again_when_it_says(zenodo: Zenodo, tmp_path: Path) -> None:
    zenodo.faults["record"] = [Fault(status=503, retry_after="0")]
    zenodo.faults[WSI] = [Fault(status=429, retry_after="1"), Fault(status=429), Fault(status=503, retry_after="0")]
    start = time.monotonic()
    fetch(zenodo, tmp_path, only="wsi")
    assert time.monotonic() - start >= 1
    assert zenodo.ranges(WSI) == [None] * 4


def test_a_server_that_stays_busy_is_given_up(zenodo: Zenodo, tmp_path: Path) -> None:
    zenodo.faults[WSI] = [Fault(status=503, retry_after="0")] * 50
    with pytest.raises(FetchError, match="HTTP 503, 4 times"):
        fetch(zenodo, tmp_path, only="wsi")
    assert len(zenodo.ranges(WSI)) == 4
    # Asked to wait beyond all patience, it does not start to.
    zenodo.faults[WSI] = [Fault(status=503, retry_after="3600")]
    start = time.monotonic()
    with pytest.raises(FetchError, match="3600 s would be next"):
        fetch(zenodo, tmp_path, only="wsi")
    assert time.monotonic() - start < 60


def test_a_changed_file_under_the_same_name(zenodo: Zenodo, tmp_path: Path) -> None:
    """Half of the old file is there when the record comes to mean a new one: nothing of the old is used."""
    old = zenodo.files[WSI]
    zenodo.faults[WSI] = [Fault(cut=0.5)]
    with pytest.raises(FetchError):
        fetch(zenodo, tmp_path, only="wsi", patience=Patience(tries=1))
    zenodo.files[WSI] = noise(300_000, 3)
    # The server has changed, the record has not: refused after a try from the start, and the old is not mixed in.
    with pytest.raises(FetchError, match=f"expected md5 {md5(old)}, found {md5(zenodo.files[WSI])}"):
        fetch(zenodo, tmp_path, only="wsi")
    (tmp_path / f"{WSI}.{md5(old)}.part").write_bytes(old[:150_000])
    zenodo.describe()
    fetch(zenodo, tmp_path, only="wsi")
    assert zenodo.ranges(WSI)[-1] is None
    assert names(tmp_path) == sorted([WSI, "source.json"])
    assert (tmp_path / WSI).read_bytes() == zenodo.files[WSI]


@pytest.mark.parametrize("content", [b"mine", bytes(300_000)], ids=["other size", "same size"])
def test_a_file_of_the_user_is_left_alone(zenodo: Zenodo, tmp_path: Path, content: bytes) -> None:
    (tmp_path / WSI).write_bytes(content)
    with pytest.raises(OutputError, match="left as it is"):
        fetch(zenodo, tmp_path)
    assert (tmp_path / WSI).read_bytes() == content
    assert names(tmp_path) == [WSI], "refused before anything is fetched"


@pytest.mark.parametrize("content", ["{}", "not json", '{"record": "2"}', "[" * 100_000])
def test_another_source_json_is_left_alone(zenodo: Zenodo, tmp_path: Path, content: str) -> None:
    (tmp_path / "source.json").write_text(content)
    with pytest.raises(OutputError, match=r"source\.json"):
        fetch(zenodo, tmp_path)
    assert (tmp_path / "source.json").read_text() == content
    assert names(tmp_path) == ["source.json"]


def test_a_pipe_for_source_json_is_not_waited_for(zenodo: Zenodo, tmp_path: Path, pipe: Path) -> None:
    (tmp_path / "source.json").symlink_to(pipe)
    with pytest.raises(OutputError, match="another file"):
        fetch(zenodo, tmp_path)


def test_the_disk_is_looked_at_first(zenodo: Zenodo, tmp_path: Path) -> None:
    zenodo.record["files"][0]["size"] = shutil.disk_usage(tmp_path).free + 1
    with pytest.raises(OutputError, match="GB free"):
        fetch(zenodo, tmp_path)
    assert [name for name, _, _ in zenodo.seen] == ["record"]


def test_a_link_in_the_place_of_a_part_is_not_followed(zenodo: Zenodo, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / f"{WSI}.{md5(zenodo.files[WSI])}.part").symlink_to(outside)
    fetch(zenodo, tmp_path / "to", only="wsi")
    assert outside.read_bytes() == b"precious"
    assert not (tmp_path / "to" / WSI).is_symlink()


@pytest.mark.parametrize(
    "name",
    [
        *("../up", "/etc/passwd", "a/b", "a\\b", "C:x", "", ".", "..", ".hidden", "a\0b", "a\nb", " a", "a."),
        *("Source.json", "x.part", "x" * 201, "\ud800"),
    ],
)
def test_a_hostile_name_refuses_the_record(zenodo: Zenodo, tmp_path: Path, name: str) -> None:
    zenodo.record["files"][1]["key"] = name
    with pytest.raises(FetchError, match="plain file names"):
        fetch(zenodo, tmp_path / "to", only="wsi")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("files",), None),
        (("files",), []),
        (("files", 0), "x"),
        (("files", 0, "size"), -1),
        (("files", 0, "size"), True),
        (("files", 0, "size"), "300000"),
        (("files", 0, "checksum"), "sha1:" + "0" * 40),
        (("files", 0, "checksum"), None),
        (("files", 0, "links"), {}),
        (("files", 0, "links", "self"), "http://[broken"),
        (("files", 0, "links", "self"), "file:///etc/passwd"),
        (("files", 0, "links", "self"), "http://example.org/x"),
        (("files", 0, "key"), PATCH.upper()),
        (("id",), None),
        (("metadata",), []),
    ],
)
def test_a_broken_record_is_refused(zenodo: Zenodo, tmp_path: Path, path: tuple[Any, ...], value: object) -> None:
    place: Any = zenodo.record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(FetchError):
        fetch(zenodo, tmp_path, only="wsi")
    assert not [name for name in names(tmp_path) if name.startswith(WSI)]


def test_answers_that_end_it(zenodo: Zenodo, tmp_path: Path) -> None:
    zenodo.faults["record"] = [Fault(status=404)]
    with pytest.raises(FetchError, match="HTTP 404"):
        fetch(zenodo, tmp_path)
    with pytest.raises(FetchError, match="number of a record"):
        fetch_record("../1", tmp_path, endpoint=zenodo.url)
    zenodo.record["files"].pop(1)
    with pytest.raises(FetchError, match="a file named for patch"):
        fetch(zenodo, tmp_path, only="patch")
    zenodo.faults[WSI] = [Fault(status=404)]
    with pytest.raises(FetchError, match="HTTP 404"):
        fetch(zenodo, tmp_path)
    assert not [name for name in names(tmp_path) if name.endswith(".part")]
    # A redirect to another address on this machine is followed, one to plain http elsewhere is not.
    zenodo.faults[WSI] = [Fault(status=302, location=f"{zenodo.url}/api/records/1/files/{WSI}/content")]
    zenodo.faults["record"] = [Fault(), Fault(status=302, location="http://example.org/")]
    fetch(zenodo, tmp_path)
    with pytest.raises(FetchError, match="an https address"):
        fetch(zenodo, tmp_path)


def test_the_endpoint_may_come_from_the_environment(
    zenodo: Zenodo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HER2_IHC_40X_ZENODO", f"{zenodo.url}/")
    fetch_record("1", tmp_path, only="patch")
    assert (tmp_path / PATCH).read_bytes() == zenodo.files[PATCH]


FILE = RemoteFile("a.zip", 10, "0" * 32, "https://zenodo.org/a")


@pytest.mark.parametrize(
    ("present", "step"),
    [
        (Present(), "restart"),
        (Present(size=10, md5="0" * 32), "skip"),
        (Present(size=10, md5="1" * 32), "refuse"),
        (Present(size=9), "refuse"),
        (Present(part=0), "restart"),
        (Present(part=1), "resume"),
        (Present(part=10), "resume"),
        (Present(part=11), "restart"),
        (Present(size=9, part=5), "refuse"),
    ],
)
def test_what_to_do_with_a_file(present: Present, step: str) -> None:
    assert decide(FILE, present) == step
