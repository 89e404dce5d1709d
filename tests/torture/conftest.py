"""Says the seed of a campaign, and how to run a point that failed again; and makes the jobs that are tortured."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from drawn_slides import PATCH, draw_cohort
from torture.campaign import SEED, SHARE
from torture.jobs import FORKSERVER, Job
from torture.machine import Machine
from twin_images import SIZE
from zenodo_double import Zenodo, serving


def pytest_report_header() -> str:
    return f"torture: seed {SEED}, {'short form' if SHARE is None else f'{SHARE:g} of the long form'}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        share = "" if SHARE is None else f"TORTURE={SHARE:g} "
        command = f"{share}TORTURE_SEED={SEED} python -m pytest '{item.nodeid}'"
        report.sections.append(("run this point again", command))
    return report


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Machine(tmp_path_factory.mktemp("machine")) as machine:
        yield machine


@pytest.fixture
def scratch(start: str, tmp_path: Path) -> Iterator[Path]:
    """A folder whose path is so short, or long, that a build in it starts its workers as `start` says."""
    if start != FORKSERVER:
        yield tmp_path / ("long" * 20)
        return
    with tempfile.TemporaryDirectory(prefix="torture-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def make_job(
    machine: Machine, tmp_path_factory: pytest.TempPathFactory, release: Path, shards: Path
) -> Iterator[Callable[[str], Job]]:
    """Give a job by its name; each is made once."""
    jobs: dict[str, Job] = {}
    with serving() as zenodo:

        def make(name: str) -> Job:
            if name not in jobs:
                before = tmp_path_factory.mktemp("before")
                jobs[name] = _JOBS[name](name, machine, before, release, shards, zenodo)
            return jobs[name]

        yield make


def _pack(name: str, machine: Machine, before: Path, release: Path, shards: Path, zenodo: Zenodo) -> Job:
    if name == "pack over another":
        shutil.copytree(shards, before / "out")
    options = ["--subset", "--image-size", SIZE, "--license", "mit", "--overwrite", "--workers", 1]
    return Job(name, machine, before, ["pack", release, "--out", "@/out", *options], [release])


def _build(name: str, machine: Machine, before: Path, release: Path, shards: Path, zenodo: Zenodo) -> Job:
    cohort = draw_cohort(before.with_name(f"{before.name}-cohort"), {"A": "0", "C": "3+"})
    options = ["--intensity", "none", "--patch-size", PATCH, "--overwrite", "--workers", 1]
    arguments = ["build", cohort.slides, "--regions", cohort.regions, "--out", "@/out", *options]
    if name == "build over another":
        assert Job("", machine, before, [*arguments, "--min-tissue", 0.2]).run(before).code == 0
        (before / "tmp").rmdir()
    return Job(name, machine, before, arguments, [cohort.root], ("out", "out-report"), r"\.out\.partial(/.*)?")


def _card(name: str, machine: Machine, before: Path, release: Path, shards: Path, zenodo: Zenodo) -> Job:
    shutil.copytree(shards, before / "out")
    return Job(name, machine, before, ["card", "@/out", "--license", "mit"])


def _fetch(name: str, machine: Machine, before: Path, release: Path, shards: Path, zenodo: Zenodo) -> Job:
    outputs = tuple(f"downloads/{file}" for file in (*zenodo.files, "source.json"))
    (before / "downloads").mkdir()
    arguments = ["fetch", "--record", 1, "--to", "@/downloads", "--endpoint", zenodo.url]
    return Job(name, machine, before, arguments, (), outputs, r"downloads/.*\.part")


_JOBS = {
    "pack": _pack,
    "pack over another": _pack,
    "build": _build,
    "build over another": _build,
    "card": _card,
    "fetch": _fetch,
}
