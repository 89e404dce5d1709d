"""A folder appears whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from her2_ihc_40x_builder.errors import OutputError
from her2_ihc_40x_builder.forking import worker_context
from her2_ihc_40x_builder.shards import staging
from her2_ihc_40x_builder.shards.made import Made
from her2_ihc_40x_builder.shards.staging import check_beside, check_outside, staged_folder
from program import LIMIT, exit_code


def ours(folder: Path) -> Made | None:
    return {"mark", "data/part"}.__contains__ if (folder / "mark").exists() else None


def fill(target: Path, text: str, *, overwrite: bool = False, fail: bool = False, keep: bool = False) -> None:
    with staged_folder(target, overwrite=overwrite, made_in=ours, keep=keep) as tree:
        (tree / "mark").write_text(text)
        (tree.parent / "scratch").mkdir()
        assert not fail, "stopped"


def test_it_appears_when_it_is_whole(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "new" / "out", overwrite=False, made_in=ours) as tree:
        (tree / "mark").write_text("1")
        assert not (tmp_path / "new" / "out").exists()
    assert (tmp_path / "new" / "out" / "mark").read_text() == "1"
    assert os.listdir(tmp_path / "new") == ["out"]  # noqa: PTH208


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="stopped"):
        fill(tmp_path / "out", "1", fail=True)
    assert list(tmp_path.iterdir()) == []


def test_what_is_ours_is_replaced_only_on_request(tmp_path: Path) -> None:
    fill(tmp_path / "out", "1")
    with pytest.raises(OutputError, match="--overwrite"):
        fill(tmp_path / "out", "2")
    assert (tmp_path / "out" / "mark").read_text() == "1"
    with pytest.raises(AssertionError, match="stopped"):
        fill(tmp_path / "out", "2", overwrite=True, fail=True)
    assert (tmp_path / "out" / "mark").read_text() == "1"
    fill(tmp_path / "out", "2", overwrite=True)
    assert (tmp_path / "out" / "mark").read_text() == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_not_ours_never_is(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    fill(tmp_path / "out", "an empty folder may be taken")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.doc").write_text("x")
    (tmp_path / "file").write_text("x")
    for name in ("theirs", "file"):
        with pytest.raises(OutputError, match="did not make"):
            fill(tmp_path / name, "1", overwrite=True)
    assert (tmp_path / "theirs" / "thesis.doc").read_text() == "x"
    assert not list(tmp_path.glob(".*"))


def test_a_folder_of_ours_that_holds_anything_else_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, "1")
    (out / "data").mkdir()
    for path in ("data/part", "data/slide.svs", "notes.txt", ".git/HEAD", ".git/config"):
        (out / path).parent.mkdir(exist_ok=True)
        (out / path).write_text("x")
    (out / "linked").symlink_to(tmp_path)
    found = r"found \.git/, data/slide\.svs, linked and 1 more\. Move what is yours out of it"
    with pytest.raises(OutputError, match=found):
        fill(out, "2", overwrite=True)
    with pytest.raises(OutputError, match=found):
        check_beside(out, None, made_in=ours)
    assert (out / "notes.txt").read_text() == "x"
    assert (out / "mark").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_comes_while_the_new_one_is_made_stays_too(tmp_path: Path) -> None:
    fill(tmp_path / "out", "1")

    def disturbed(target: Path) -> None:
        with staged_folder(target, overwrite=True, made_in=ours) as tree:
            (tree / "mark").touch()
            target.mkdir(exist_ok=True)
            (target / "notes.txt").write_text("mine")

    for name in ("out", "new"):
        with pytest.raises(OutputError, match=r"notes\.txt|did not make"):
            disturbed(tmp_path / name)
        assert (tmp_path / name / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "out"]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EIO, "Mend the disk, or free space"),
        (errno.EMFILE, "Raise the limit on open files"),
        (errno.ENAMETOOLONG, "Give a shorter name"),
    ],
)
def test_the_disk_is_blamed_for_what_it_does(tmp_path: Path, number: int, remedy: str) -> None:
    with (
        pytest.raises(OutputError, match=re.escape(os.strerror(number)) + f". {remedy}"),
        staged_folder(tmp_path / "out", overwrite=False, made_in=ours),
    ):
        raise OSError(number, os.strerror(number), str(tmp_path / "out" / "mark"))
    assert list(tmp_path.iterdir()) == []


def test_what_file_managers_leave_is_nobodys(tmp_path: Path) -> None:
    fill(tmp_path / "out", "1")
    (tmp_path / "out" / ".DS_Store").write_text("x")
    fill(tmp_path / "out", "2", overwrite=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mark"]


@pytest.mark.parametrize("inputs", ["out/WSI", "out/regions.json", "out", "link"])
def test_an_output_that_holds_inputs_is_refused(tmp_path: Path, inputs: str) -> None:
    (tmp_path / "out" / "WSI").mkdir(parents=True)
    (tmp_path / "out" / "regions.json").touch()
    (tmp_path / "link").symlink_to(tmp_path / "out" / "WSI")
    with pytest.raises(OutputError, match="one that holds"):
        check_outside(tmp_path / "out", [tmp_path / inputs])
    check_outside(tmp_path / "beside", [tmp_path / inputs])


def test_the_second_of_two_is_told(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "out", overwrite=False, made_in=ours) as tree:
        (tree / "mark").write_text("1")
        with ProcessPoolExecutor(1, mp_context=worker_context()) as other:
            told = other.submit(fill, tmp_path / "out", "2", overwrite=True).exception()
        assert isinstance(told, OutputError)
        assert f"another process that does, number {os.getpid()} on " in str(told)
    assert (tmp_path / "out" / "mark").read_text() == "1"


def contend(folder: Path) -> int:
    """Fill a folder 15 times, as two others do; returns how often another was told to be there."""
    signal.alarm(LIMIT)
    out, inside, ready = folder / "out", folder / "inside", folder / "ready"
    done = told = 0
    end = time.monotonic() + 60
    (ready / str(os.getpid())).touch()
    while len(list(ready.iterdir())) < 3 and time.monotonic() < end:
        time.sleep(0.01)
    while done < 15 and time.monotonic() < end:
        try:
            with staged_folder(out, overwrite=True, made_in=ours) as tree:
                inside.open("x").close()
                (tree / "mark").write_text("whole")
                inside.unlink()
            done += 1
        except OutputError as error:
            if "another process" not in str(error):
                raise
            told += 1
    assert done == 15
    return told


def test_of_many_at_once_one_works_and_the_others_are_told(tmp_path: Path) -> None:
    (tmp_path / "ready").mkdir()
    with ProcessPoolExecutor(3, mp_context=worker_context()) as others:
        runs = [others.submit(contend, tmp_path) for _ in range(3)]
    assert sum(run.result() for run in runs) > 0
    shutil.rmtree(tmp_path / "ready")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "mark").read_text() == "whole"


def die_inside(out: Path) -> None:
    with staged_folder(out, overwrite=True, made_in=ours):
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_lock_of_a_process_that_died_is_free(tmp_path: Path) -> None:
    assert exit_code(die_inside, tmp_path / "out") == -signal.SIGKILL
    assert (tmp_path / ".out.partial" / "lock").exists()
    fill(tmp_path / "out", "1")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_run_killed_between_its_renames_loses_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "out", "old")
    work = tmp_path / ".out.partial"
    work.mkdir()
    (tmp_path / "out").rename(work / "replaced")
    (work / "tree").mkdir()
    with pytest.raises(OutputError, match="--overwrite"):
        fill(tmp_path / "out", "new")
    assert (tmp_path / "out" / "mark").read_text() == "old"


def test_what_was_there_is_never_removed_while_nothing_is_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "out", "old")
    rename, work = Path.rename, tmp_path / ".out.partial"

    def only_aside(self: Path, target: Path) -> Path:
        if target != work / "replaced":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", only_aside)
    with pytest.raises(OutputError, match=r"What was there is in .*replaced, and comes back then"):
        fill(tmp_path / "out", "new", overwrite=True)
    assert (work / "replaced" / "mark").read_text() == "old"
    monkeypatch.undo()
    with pytest.raises(OutputError, match="--overwrite"):
        fill(tmp_path / "out", "new")
    assert (tmp_path / "out" / "mark").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_kept_work_is_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="stopped"):
        fill(tmp_path / "out", "half", fail=True, keep=True)
    assert not (tmp_path / "out").exists()
    with staged_folder(tmp_path / "out", overwrite=False, made_in=ours, keep=True) as tree:
        assert (tree / "mark").read_text() == "half"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    fill(tmp_path / "out", "old")

    def refuse(tree: Path) -> None:
        raise OSError(error, os.strerror(error), str(tree))

    monkeypatch.setattr(staging, "_flush", refuse)
    with pytest.raises(OutputError, match=os.strerror(error)):
        fill(tmp_path / "out", "new", overwrite=True)
    assert (tmp_path / "out" / "mark").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    fill(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    fill(tmp_path / "link", "new", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "mark").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


@pytest.mark.parametrize("below", ["", "data/wsi_train"])
def test_the_current_folder_and_those_above_it_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    target = tmp_path / "ours"
    (target / below).mkdir(parents=True)
    monkeypatch.chdir(target / below)
    with (
        pytest.raises(OutputError, match="the current one, or one above it"),
        staged_folder(target, overwrite=True, made_in=lambda folder: lambda path: True),
    ):
        pytest.fail("it was given")
    assert (target / below).is_dir()


def test_the_name_of_unfinished_work_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not finished"):
        fill(tmp_path / ".out.partial", "x")
    with pytest.raises(OutputError, match="not finished"):
        check_beside(tmp_path / ".out.partial", None, made_in=ours)
    assert list(tmp_path.iterdir()) == []


def test_a_mount_point_is_refused_at_once() -> None:
    with pytest.raises(OutputError, match="mount point"):
        fill(Path("/proc"), "x", overwrite=True)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a place where nobody makes folders")
def test_a_place_where_no_folder_can_be_made_is_an_error() -> None:
    place = staged_folder(Path("/proc/out"), overwrite=False, made_in=lambda folder: None)
    with pytest.raises(OutputError, match="room and permission"), place:
        pytest.fail("a folder was made below /proc")
