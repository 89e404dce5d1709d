"""Fixtures that several modules share: small releases and where the real slides are."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

# Before datasets is imported: its cache goes to a folder of this run, and nothing is fetched.
_HOME = tempfile.TemporaryDirectory(prefix="her2-tests-")
os.environ["HF_HOME"] = _HOME.name
os.environ["HF_DATASETS_CACHE"] = str(Path(_HOME.name) / "datasets")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.pop("HER2_IHC_40X", None)

import datasets  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from drawn_slides import Cohort, build, draw_cohort  # noqa: E402
from her2_ihc_40x_builder.demo.release_twin import TwinPatch, plan_twin, write_twin  # noqa: E402
from her2_ihc_40x_builder.pack import PackOptions, pack_release  # noqa: E402
from hub_double import hub  # noqa: E402, F401 (a fixture)
from torture.campaign import SHARE  # noqa: E402
from twin_images import SHARED, SIZE, MakeRelease, tiny_image  # noqa: E402
from zenodo_double import zenodo  # noqa: E402, F401 (a fixture)

datasets.disable_progress_bars()
# An example takes longer where the machine is busy: that says nothing of the code.
settings.register_profile("tests", deadline=None, derandomize=True, max_examples=50)
# A campaign (`make torture`) tries other examples, and more of them where a test does not say how many.
settings.register_profile("campaign", deadline=None, max_examples=max(100, round(1000 * (SHARE or 0))), database=None)
settings.load_profile("tests" if SHARE is None else "campaign")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many tests wait for the processes that they start."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real slides and listings; tests that need it are skipped where it is not."""
    if not SHARED.is_dir():
        pytest.skip(f"no real inputs at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def twin_plan() -> list[TwinPatch]:
    """The patches of the small release."""
    return plan_twin(0.004)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory, twin_plan: list[TwinPatch]) -> Path:
    """A small release as downloaded: two zips, tiny images."""
    root = tmp_path_factory.mktemp("release")
    write_twin(root, twin_plan, tiny_image)
    return root


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory, release: Path) -> Path:
    """The small release, packed, in a folder named as users name it."""
    out = tmp_path_factory.mktemp("packed") / "her2-ihc-40x"
    pack_release(release, out, PackOptions(subset=True, image_size=SIZE, workers=1))
    return out


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Four small slides of three classes with their regions; nobody may change them."""
    return draw_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture
def own_cohort(cohort: Cohort, tmp_path: Path) -> Cohort:
    """A copy of the slides, to be changed."""
    shutil.copytree(cohort.root, tmp_path / "cohort")
    return Cohort(tmp_path / "cohort")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, cohort: Cohort) -> Path:
    """The slides built with pixels as scanned; nobody may change it."""
    out = tmp_path_factory.mktemp("built") / "her2-ihc-40x"
    build(cohort, out, intensity="none")
    return out


@pytest.fixture
def make_release(tmp_path: Path, twin_plan: list[TwinPatch]) -> MakeRelease:
    """Write the small release into this test's folder, to be damaged there."""

    def make(name: str = "release", **options: int) -> Path:
        write_twin(tmp_path / name, twin_plan, tiny_image, **options)
        return tmp_path / name

    return make


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    """A named pipe; whoever opens it after all is let go after some seconds, with nothing to read."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("pipes of POSIX")
    path = tmp_path / "pipe"
    os.mkfifo(path)
    guard = threading.Timer(10, lambda: os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK)))
    guard.start()
    yield path
    guard.cancel()
