"""The program as a process: interrupted where Python would lose it, and started without the standard streams."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from drawn_slides import CLI, Cohort, command, contents
from her2_ihc_40x import __version__
from her2_ihc_40x_builder.cli.output import watched_output
from interrupted import INTERRUPTED, hear_control_c
from program import run_program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and streams of POSIX")

LOST = """
import os, signal, sys, time, types
from her2_ihc_40x_builder import __main__ as program

def interrupt():
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    time.sleep(0.3)

class AsItEnds:
    def __del__(self):
        interrupt()  # Python complains of what is raised here, and goes on

def run():
    AsItEnds()
    time.sleep(int(sys.argv[3]))
    print("it went on")

class Cli(types.ModuleType):
    def __getattr__(self, name):
        if name == "main" and sys.argv[2] == "import":
            try:
                interrupt()
            except BaseException:  # as some libraries do
                pass
        return run

sys.modules["her2_ihc_40x_builder.cli"] = Cli("cli")
sys.exit(program.main())
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("where", ["import", "del"])
def test_an_interruption_is_not_lost_where_python_would_lose_it(name: str, where: str) -> None:
    program = [sys.executable, "-c", LOST, name, where, "600"]
    done = subprocess.run(program, capture_output=True, text=True, check=False, preexec_fn=hear_control_c, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("", INTERRUPTED, 130)


LEAVING = """
import atexit, os, signal, sys, types
from her2_ihc_40x_builder import __main__ as program

def interrupt():
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))

def run():
    atexit.register(interrupt)
    print("done")
    return int(sys.argv[2])

cli = types.ModuleType("cli")
cli.main = run
sys.modules["her2_ihc_40x_builder.cli"] = cli
sys.exit(program.main())
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("code", [0, 3])
def test_what_is_done_is_not_interrupted_any_more(name: str, code: int) -> None:
    program = [sys.executable, "-c", LEAVING, name, str(code)]
    done = subprocess.run(program, capture_output=True, text=True, check=False, preexec_fn=hear_control_c, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", code)


def test_what_else_cannot_be_raised_is_said() -> None:
    program = [sys.executable, "-c", LOST.replace("interrupt()  #", "1 / 0  #"), "SIGINT", "del", "0"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.stdout == "it went on\n"
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 1>&- 2>&-"])
def test_a_build_needs_no_standard_stream(cohort: Cohort, built: Path, tmp_path: Path, closed: str) -> None:
    build = [*CLI, *command(cohort, tmp_path / "out", "--workers", "2")]
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *build], check=False)
    assert done.returncode == 0
    assert contents(tmp_path / "out").keys() == contents(built).keys()


def let_no_file_grow() -> None:
    """As on a disk that takes nothing, wherever it is: TMPDIR, /tmp and the current folder are tried in turn."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.parametrize("words", ["--version", "doctor", "verify DIR", "plan DIR", "build DIR --out NEW"])
def test_no_folder_for_temporary_files_is_one_line(built: Path, tmp_path: Path, words: str) -> None:
    places = {"DIR": str(built), "NEW": str(tmp_path / "new")}
    arguments = [*CLI, *(places.get(word, word) for word in words.split())]
    done = subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
        preexec_fn=let_no_file_grow,
    )
    (said,) = done.stderr.splitlines()
    assert said.startswith(
        "her2-ihc-40x: temporary files: expected a folder that can be written, found none (No usable"
    )
    assert str(tmp_path) in said
    assert said.endswith("Set TMPDIR to a folder that can be written, on a disk that has room.")
    assert (done.returncode, done.stdout, list(tmp_path.iterdir())) == (1, "", [])


def test_with_a_folder_for_temporary_files_it_runs(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([*CLI, "--version"], capture_output=True, text=True, check=False, env=environment)
    assert (done.stdout.strip(), done.stderr, done.returncode) == (__version__, "", 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize(
    ("words", "unbuffered"), [("verify DIR", "1"), ("audit DIR --json", ""), ("audit NOWHERE --json", "1")]
)
def test_a_full_standard_output_is_one_line(built: Path, tmp_path: Path, words: str, unbuffered: str) -> None:
    places = {"DIR": str(built), "NOWHERE": str(tmp_path / "nowhere")}
    arguments = [*CLI, *(places.get(word, word) for word in words.split())]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            arguments,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    *_, said = done.stderr.splitlines()
    assert said.startswith("her2-ihc-40x: standard output: expected room for what is printed, found No space left")
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("words", "unbuffered", "both"),
    [
        ("verify DIR", "1", False),
        ("verify DIR", "1", True),
        ("build --pseudonymize KEY", "", False),
        ("build --pseudonymize KEY", "", True),
    ],
)
def test_a_reader_of_standard_output_that_has_gone_is_one_line(
    cohort: Cohort, built: Path, tmp_path: Path, words: str, unbuffered: str, both: bool
) -> None:
    name, *more = (str({"DIR": built, "KEY": tmp_path / "key"}.get(word, word)) for word in words.split())
    run = [name, *more] if name == "verify" else command(cohort, tmp_path / "out", "--workers", "1", *more)
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    said = "her2-ihc-40x: standard output: expected a reader to the end, found that it has gone. Send the output to a "
    said += "file, and read that. What the command makes may be there already.\n"
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        stderr = gone if both else subprocess.PIPE
        done = subprocess.run([*CLI, *run], stdout=gone, stderr=stderr, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (1, None if both else said)


def test_a_name_cannot_steer_the_terminal(built: Path, tmp_path: Path) -> None:
    told = "\x1b]0;owned\x07\nno problem a\x9b2Jb \u202egnp.exe over\rwritten \x7f\u2066"
    folder = shutil.copytree(built, tmp_path / "her2-ihc-40x")
    (folder / told).write_text("")
    done = run_program(["verify", folder])
    escaped = r"\x1b]0;owned\x07\nno problem a\x9b2Jb \u202egnp.exe over\rwritten \x7f\u2066"
    assert done.stdout.splitlines()[0].startswith(f"{escaped}: expected only files that the manifest lists")
    done = run_program(["verify", told], tmp_path)
    assert (
        done.stderr
        == f"her2-ihc-40x: {escaped}: expected the folder of a data set, found no such folder. Check the path.\n"
    )
    done = run_program(["audit", told, "--json"], tmp_path)
    assert all(char.isprintable() or char == "\n" for char in done.stdout)
    assert json.loads(done.stdout)["error"]["subject"] == told


def test_a_disk_that_is_full_elsewhere_is_not_taken_for_standard_output() -> None:
    with pytest.raises(OSError, match="elsewhere"), watched_output():
        raise OSError(errno.ENOSPC, "elsewhere")
