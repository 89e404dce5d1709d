"""The commands that write, each with what is there before it and what must be there after it."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torture.machine import Fault, Machine, Run

Snapshot = dict[str, str]
#: Calls that can fail for want of room or by a broken disk.
WRITING = "owsrlm"
#: How a build starts its workers: as most users' do, or as it does where the path of TMPDIR is too long for a socket.
FORKSERVER, SPAWN = "forkserver", "spawn"


def snapshot(root: Path) -> Snapshot:
    """Every file below a folder, hidden or not, by the hash of what it holds; every folder, link and socket.

    A report's page is only said to be there: it tells what was taken over from a run before.
    """
    return {
        path.relative_to(root).as_posix(): "link"
        if path.is_symlink()
        else "folder"
        if path.is_dir()
        else "socket"
        if path.is_socket()
        else "page"
        if path.name == "index.html"
        else _hashed(path.read_bytes())
        for path in sorted(root.rglob("*"))
    }


@dataclass
class Job:
    """A command.

    Args:
        name: of it, and of what is there before.
        machine: that runs it.
        before: a folder that holds what is there before.
        arguments: of the command line; @ stands for the folder that it works in.
        inputs: files and folders that it reads.
        outputs: names in the folder that it works in.
        kept: a pattern of paths in that folder, of work that a run which failed keeps for the next to go on with.
    """

    name: str
    machine: Machine
    before: Path
    arguments: Sequence[object]
    inputs: Sequence[Path] = ()
    outputs: Sequence[str] = ("out",)
    kept: str = "(?!)"
    _unbroken: dict[str, tuple[Snapshot, Sequence[str]]] = field(default_factory=dict)

    def prepare(self, root: Path) -> Snapshot:
        """Make `root` as it is before a run."""
        shutil.copytree(self.before, root)
        (root / "tmp").mkdir()
        return snapshot(root)

    def run(self, root: Path, fault: Fault | None = None, *more: object, clock: int = 0) -> Run:
        """Run it in `root`."""
        arguments = [str(argument).replace("@", str(root)) for argument in (*self.arguments, *more)]
        return self.machine.run(root, arguments, fault, clock=clock)

    def unbroken(self, scratch: Path, start: str = "") -> tuple[Snapshot, Sequence[str]]:
        """What is there after a run in which nothing goes wrong, and its calls, which are others with each `start`.

        Args:
            scratch: the folder to run it in.
            start: how workers are started in that folder; asserted of a build if it is told.
        """
        if start not in self._unbroken:
            self.prepare(scratch / "unbroken")
            run = self.run(scratch / "unbroken")
            assert run.code == 0, run.err
            if start and self.name.startswith("build"):
                assert any("/tmp/pymp-" in call for call in run.calls) == (start == FORKSERVER), run.calls
            self._unbroken[start] = snapshot(scratch / "unbroken"), run.calls
        return self._unbroken[start]


def part(found: Snapshot, name: str) -> Snapshot:
    """What a snapshot says of one output and all below it."""
    return {path: what for path, what in found.items() if path == name or path.startswith(f"{name}/")}


def left_by_python(found: Snapshot) -> Snapshot:
    """What a snapshot says of what Python leaves in TMPDIR where it is killed.

    Sockets and their folders, and the file by which it tries whether TMPDIR can be written. Nothing else is meant:
    another file in such a folder, another folder, or such a file with anything else in it.
    """
    trial = r"tmp/[a-z0-9_]{8}"
    made = {"folder": r"tmp/pymp-[^/]+", "socket": r"tmp/pymp-[^/]+/listener-[^/]+", _hashed(b""): trial}
    made[_hashed(b"blat")] = trial
    return {path: what for path, what in found.items() if what in made and re.fullmatch(made[what], path)}


def _hashed(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def rest(found: Snapshot, job: Job) -> Snapshot:
    """What a snapshot says of all that is neither an output nor kept: what should not be there."""
    outputs = {path for name in job.outputs for path in part(found, name)}
    return {path: what for path, what in found.items() if path not in outputs and not re.fullmatch(job.kept, path)}
