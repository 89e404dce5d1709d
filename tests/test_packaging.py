"""The wheel: what it holds, and that it works away from the repository."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from twin_images import SIZE

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the tree, with the build backend that is installed."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, comes with the extra [dev]")
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_nothing_else_lands_in_site_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.split("/")[0] for name in names}
    version = wheel.name.split("-")[1]
    assert top == {
        "her2_ihc_40x.py",
        "her2_ihc_40x-stubs",
        "her2_ihc_40x_builder",
        f"her2_ihc_40x-{version}.dist-info",
    }
    assert "her2_ihc_40x_builder/py.typed" in names
    assert "her2_ihc_40x-stubs/__init__.pyi" in names
    assert "her2_ihc_40x_builder/dataset_card/README.md.template" in names
    assert not [name for name in names if "__pycache__" in name]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; its dependencies are borrowed from this one, so that nothing is fetched."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home / "env", with_pip=False)
    site = next((home / "env").glob("lib/python*/site-packages"))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)],
        check=True,
        capture_output=True,
    )
    borrowed = home / "borrowed"
    borrowed.mkdir()
    for path in sys.path:
        if path.endswith("site-packages") and Path(path).is_dir():
            for entry in Path(path).iterdir():
                if "her2_ihc_40x" not in entry.name and entry.suffix != ".pth" and not (borrowed / entry.name).exists():
                    (borrowed / entry.name).symlink_to(entry)
    (site / "borrowed.pth").write_text(f"{borrowed}\n")
    return home


def run(installed: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {"HF_HOME": str(installed / "hf"), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
    python = str(installed / "env" / "bin" / "python")
    return subprocess.run(
        [python, *command], cwd=installed, env=environment, capture_output=True, text=True, check=False
    )


def test_it_works_away_from_the_repository(installed: Path, release: Path) -> None:
    code = (
        "import her2_ihc_40x, her2_ihc_40x_builder.card.card as card; print(her2_ihc_40x.__file__);"
        "import her2_ihc_40x_builder.demo.release_demo, her2_ihc_40x_builder.demo.slide_demo;"
        "print(card._template_folder())"
    )
    done = run(installed, "-c", code)
    assert done.returncode == 0, done.stderr
    module, template = map(Path, done.stdout.splitlines())
    assert installed in module.parents
    assert installed in template.parents
    assert (template / "README.md.template").is_file()
    options = ["--subset", "--image-size", str(SIZE), "--workers", "1"]
    done = run(installed, "-m", "her2_ihc_40x_builder", "pack", str(release), "--out", "her2-ihc-40x", *options)
    assert done.returncode == 0, done.stderr
    assert "# HER2-IHC-40x" in (installed / "her2-ihc-40x" / "README.md").read_text()


def test_its_users_get_types(installed: Path, tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy comes with the extra [dev]")
    (tmp_path / "user.py").write_text(
        "import her2_ihc_40x\n"
        "from her2_ihc_40x_builder.pack import PackOptions\n"
        "reveal_type(her2_ihc_40x.open_release('x').patches)\n"
        "PackOptions(check='all')\n"
        "her2_ihc_40x.load_dataset(streaming='yes')\n"
    )
    python = str(installed / "env" / "bin" / "python")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--python-executable", python, "--config-file", "", "user.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Mapping[str, Sequence[her2_ihc_40x.ReleasePatch]]" in done.stdout.replace("typing.", "").replace(
        "collections.abc.", ""
    )
    assert 'Argument "check" to "PackOptions"' in done.stdout
    assert 'Argument "streaming" to "load_dataset"' in done.stdout


def test_an_editable_install_finds_the_template_too() -> None:
    from her2_ihc_40x_builder.card import card

    assert (card._template_folder() / "README.md.template").is_file()
