"""What is wrong around a command: a second run, no permission, no room, the clock."""

from __future__ import annotations

import errno
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.shards.staging import staged_folder
from torture.jobs import WRITING, Job, part, snapshot
from torture.machine import Fault
from twin_images import SIZE

MakeJob = Callable[[str], Job]


@pytest.mark.parametrize("command", ["pack over another", "build"])
def test_a_second_run_is_told_who_holds_the_folder(command: str, make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(command)
    before = job.prepare(tmp_path / "root")
    out = tmp_path / "root" / "out"
    with staged_folder(out, overwrite=True, made_in=lambda folder: lambda path: True) as tree:
        run = job.run(tmp_path / "root")
        assert run.code == 1
        assert f"another process that does, number {os.getpid()} on " in run.err
        assert part(snapshot(tmp_path / "root"), "out") == part(before, "out")
        (tree / "first").touch()
    assert [path.name for path in out.iterdir()] == ["first"]


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize("command", ["pack over another", "build", "card", "fetch"])
def test_where_nothing_may_be_written_nothing_is(command: str, error: int, make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(command)
    before = job.prepare(tmp_path / "root")
    run = job.run(tmp_path / "root", Fault(error, 1, lasts=True, kinds=WRITING))
    assert run.code == 1
    line = run.err.splitlines()[-1]
    assert line.startswith(f"her2-ihc-40x: {tmp_path / 'root'}"), run.err
    assert f"found {os.strerror(error)}. " in line
    assert "Traceback" not in run.err
    assert snapshot(tmp_path / "root") == before


def test_a_file_size_limit_is_an_error_that_leaves_nothing(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    arguments = ["pack", str(release), "--out", str(tmp_path / "out"), "--subset", "--image-size", str(SIZE)]
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
        code = main(arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 1
    assert f"{tmp_path / 'out'}: expected room and permission to write, found File too large" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["pack over another", "build", "card"])
def test_no_byte_hangs_on_the_clock(command: str, make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(command)
    after, _ = job.unbroken(tmp_path)
    job.prepare(tmp_path / "root")
    tomorrow = time.time() + 86400
    for folder in (tmp_path / "root", *job.inputs):
        for path in folder.rglob("*"):
            os.utime(path, (tomorrow, tomorrow))
    run = job.run(tmp_path / "root", clock=3600)
    assert run.code == 0, run.err
    assert snapshot(tmp_path / "root") == after
