"""Verifying: a good folder has no problem, and no damage goes unseen."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from editions import contents, list_companions, plan_slides, write_edition
from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.hashing import checksum
from her2_ihc_40x_builder.hub.verify import Problem, Subset, Verification, verify_folder
from her2_ihc_40x_builder.shards.files import Shard, digest
from her2_ihc_40x_builder.shards.manifest import read_manifest
from hub_store import flip
from permissions import held_back, needs_permissions

Rng = random.Random


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_edition(tmp_path_factory.mktemp("good") / "her2-ihc-40x", plan_slides(4, 6))


def verify(folder: Path) -> Verification:
    return verify_folder(folder, workers=1)


@pytest.mark.parametrize("name", ["good", "shards"])
def test_a_good_folder(name: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(name)
    before = contents(folder)
    found = verify(folder)
    assert found.problems == ()
    assert found.checked == len(read_manifest(folder).shards)
    assert found.companions == tuple(sorted(companion.path for companion in read_manifest(folder).companions))
    assert contents(folder) == before


def test_what_may_lie_beside_it(good: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "her2-ihc-40x")
    for path in ("figures/classes.png", "croissant.json", ".gitattributes", ".cache/huggingface/download/x.lock"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("")
    assert [problem.path for problem in verify(folder).problems] == ["croissant.json", "figures/classes.png"]
    found = verify(list_companions(folder))
    assert found.problems == ()
    assert found.companions == ("README.md", "croissant.json", "figures/classes.png")


@pytest.mark.parametrize("path", ["README.md", "croissant.json", "figures/classes.png"])
def test_a_changed_or_lost_companion(shards: Path, tmp_path: Path, path: str) -> None:
    folder = shutil.copytree(shards, tmp_path / "her2-ihc-40x")
    data = (folder / path).read_bytes()
    for damaged in (flip(data), data[:-1], None):
        if damaged is None:
            (folder / path).unlink()
        else:
            (folder / path).write_bytes(damaged)
        assert {problem.path for problem in verify(folder).problems} == {path}


@pytest.mark.parametrize("path", ["../README.md", "data/x.png", "figures/../../x.png", 7])
def test_a_companion_elsewhere_is_not_opened(good: Path, tmp_path: Path, path: object) -> None:
    folder = shutil.copytree(good, tmp_path / "her2-ihc-40x")
    content = json.loads((folder / "manifest.json").read_text())
    content["companions"].append({"path": path, "sha256": "0" * 64, "bytes": 1})
    (folder / "manifest.json").write_text(json.dumps(content))
    assert [problem.path for problem in verify(folder).problems] == ["manifest.json"]


def test_a_kind_that_there_is_not(good: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "her2-ihc-40x")
    (tmp_path / "own.yaml").write_text("title: not of the data set")
    for kind in ("nonsense", str(tmp_path / "own")):
        (folder / "manifest.json").write_text(replace(read_manifest(good), source={"kind": kind}).to_json())
        (problem,) = verify(folder).problems
        assert problem.path == "manifest.json"
        assert "of the kind" in problem.found
        assert "not of the data set" not in str(problem)


def test_a_part_takes_a_few_looks_at_each_shard(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = len(read_manifest(good).shards)
    hashed: list[str] = []

    def counted(shard: Shard) -> int:
        hashed.append(shard.path)
        return hash(shard.path)

    monkeypatch.setattr(Shard, "__hash__", counted)
    found = verify_folder(good, subset=Subset(1, 2), workers=1)
    assert (found.problems, found.checked) == ((), (shards + 1) // 2)
    assert max(map(hashed.count, hashed)) <= 2


@needs_permissions
@pytest.mark.parametrize("mode", [0, 0o444])
def test_a_folder_that_cannot_be_looked_into(good: Path, tmp_path: Path, mode: int) -> None:
    folder = shutil.copytree(good, tmp_path / "her2-ihc-40x")
    (folder / ".git").mkdir(mode=0)
    assert not held_back(lambda: verify(folder)).problems
    assert not held_back(lambda: verify_folder(folder, subset=Subset(1, 2), workers=1)).problems
    shut = folder / "data" / "wsi_train"
    shut.chmod(mode)
    (folder / "README.md").chmod(0)
    whole = held_back(lambda: verify(folder))
    half = held_back(lambda: verify_folder(folder, subset=Subset(1, 2), workers=1))
    shut.chmod(0o755)
    for found in (whole, half):
        said = list(map(str, found.problems))
        assert said.count("data/wsi_train: expected a folder that can be looked into, found Permission denied") == 1
        assert said.count("README.md: expected a readable file, found Permission denied") == 1


# --- Damage: each takes a good folder and changes it ----------------------------------------------------------------


def pick(folder: Path, rng: Rng) -> Path:
    return rng.choice(sorted(folder.glob("data/*/*/*.parquet")))


def flip_a_bit(folder: Path, rng: Rng) -> None:
    """Of any file, the card, the manifest and the figures included."""
    path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def truncate(folder: Path, rng: Rng) -> None:
    path = pick(folder, rng)
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data))])


def drop_a_row(folder: Path, rng: Rng) -> None:
    path = rng.choice([path for path in sorted(folder.rglob("*.parquet")) if pq.read_metadata(path).num_rows > 1])
    table = pq.read_table(path)
    gone = rng.randrange(table.num_rows)
    pq.write_table(table.take([row for row in range(table.num_rows) if row != gone]), path)


def swap_a_label(folder: Path, rng: Rng) -> None:
    path = pick(folder, rng)
    table = pq.read_table(path)
    labels = table["label"].to_pylist()
    labels[rng.randrange(len(labels))] += rng.choice([-1, 1])
    field = table.schema.field("label")
    pq.write_table(table.set_column(table.schema.get_field_index("label"), field, [labels]), path)


def swap_two(folder: Path, rng: Rng) -> None:
    one, other = rng.sample(sorted(folder.rglob("*.parquet")), 2)
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


def duplicate(folder: Path, rng: Rng) -> None:
    path = pick(folder, rng)
    shutil.copy(path, path.with_name(f"{rng.randrange(1000)}-copy.parquet"))


def remove(folder: Path, rng: Rng) -> None:
    rng.choice([pick(folder, rng), folder / "README.md", folder / "manifest.json"]).unlink()


def edit_card(folder: Path, rng: Rng) -> None:
    path = folder / "README.md"
    metadata = path.read_text().split("---\n")[1]
    line = rng.choice([line for line in metadata.splitlines(keepends=True) if ":" in line])
    path.write_text(path.read_text().replace(line, rng.choice(["", line + line, line.replace(":", ": x", 1)]), 1))


def edit_manifest(folder: Path, rng: Rng) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    entry = rng.choice(content["files"])
    key = rng.choice(["path", "sha256", "bytes", "rows"])
    if rng.random() < 0.3:
        del content["files"][0]
    elif rng.random() < 0.3:
        labels = content["counts"]["wsi_split"]["train"]
        labels["0"], labels["1+"] = labels["0"] + 1, labels["1+"] - 1
    else:
        entry[key] = entry[key] + 1 if isinstance(entry[key], int) else entry[key][::-1]
    content["digest"] = digest(Shard(**entry) for entry in content["files"])  # as one who edits with care
    (folder / "manifest.json").write_text(json.dumps(content))


def edit_what_a_manifest_tells(folder: Path, rng: Rng) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    content[rng.choice(["parameters", "source", "report", "units"])]["added"] = rng.randrange(9)
    (folder / "manifest.json").write_text(json.dumps(content))


DAMAGE: list[Callable[[Path, Rng], None]] = [
    flip_a_bit,
    truncate,
    drop_a_row,
    swap_a_label,
    swap_two,
    duplicate,
    remove,
    edit_card,
    edit_manifest,
    edit_what_a_manifest_tells,
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(good: Path, shards: Path, tmp_path: Path, damage: Callable[[Path, Rng], None]) -> None:
    for seed in range(22):  # 10 kinds: 220 mutations
        folder = shutil.copytree((good, shards)[seed % 2], tmp_path / str(seed))
        before = {name: sha256 for name, (sha256, _) in contents(folder).items()}
        damage(folder, random.Random(seed))
        if {name: sha256 for name, (sha256, _) in contents(folder).items()} != before:
            assert verify(folder).problems, f"seed {seed}"
        shutil.rmtree(folder)


def rewrite_manifest(folder: Path, change: Callable[[dict[str, Any]], str]) -> Path:
    """Write its manifest anew, with a sha256 that fits."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    content["sha256"] = ""
    text = change(content)
    path.write_text(text.replace('"sha256": ""', f'"sha256": "{checksum(json.loads(text))}"'))
    return folder


def with_key(content: dict[str, Any]) -> str:
    return json.dumps({**content, "remark": "somebody"}, indent=2, sort_keys=True) + "\n"


MANIFESTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "other indents": lambda content: json.dumps(content, indent=4, sort_keys=True) + "\n",
    "another order": lambda content: json.dumps(dict(reversed(content.items())), indent=2) + "\n",
    "no end of line": lambda content: json.dumps(content, indent=2, sort_keys=True),
    "blanks": lambda content: json.dumps(content, indent=2, sort_keys=True) + "\n\n",
    "an unknown key": with_key,
    "a key twice": lambda content: with_key(content).replace("{", '{\n  "remark": "x",', 1),
    "a maker of another kind": lambda content: (
        json.dumps({**content, "made_by": ["x"]}, indent=2, sort_keys=True) + "\n"
    ),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_says_the_same_otherwise(good: Path, tmp_path: Path, name: str) -> None:
    folder = rewrite_manifest(shutil.copytree(good, tmp_path / "her2-ihc-40x"), MANIFESTS[name])
    assert {problem.path for problem in verify(folder).problems} == {"manifest.json"}


def test_a_manifest_that_is_written_as_ours_is_one(good: Path, tmp_path: Path) -> None:
    def same(content: dict[str, Any]) -> str:
        return json.dumps(content, indent=2, sort_keys=True) + "\n"

    assert verify(rewrite_manifest(shutil.copytree(good, tmp_path / "her2-ihc-40x"), same)).problems == ()


def test_a_manifest_of_another_version_is_as_good(good: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "her2-ihc-40x")
    (folder / "manifest.json").write_text(read_manifest(good).to_json("0.0.1é"), encoding="utf-8")
    assert verify(folder).problems == ()


def test_a_shard_of_another_unit(good: Path, tmp_path: Path) -> None:
    def move(content: dict[str, Any]) -> str:
        next(entry for entry in content["files"] if entry["unit"] != "slide-3")["unit"] = "slide-3"
        return json.dumps(content, indent=2, sort_keys=True) + "\n"

    folder = rewrite_manifest(shutil.copytree(good, tmp_path / "her2-ihc-40x"), move)
    (problem,) = verify(folder).problems
    assert problem.path == "manifest.json"
    assert problem.expected.startswith("the unit that data/")
    assert problem.found == "'slide-3'"


def test_every_problem_is_named(good: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "her2-ihc-40x")
    missing, flipped, short = sorted(read_manifest(folder).shards)[:3]
    (folder / missing.path).unlink()
    (folder / flipped.path).write_bytes(flip((folder / flipped.path).read_bytes()))
    (folder / short.path).write_bytes(b"PAR1")
    (folder / "notes.txt").write_text("")
    (folder / "README.md").write_text("# No metadata\n")
    problems = verify(folder).problems
    assert {problem.path for problem in problems} == {missing.path, flipped.path, short.path, "notes.txt", "README.md"}
    assert Problem(missing.path, f"{missing.bytes} bytes", "no file") in problems
    assert Problem(short.path, f"{short.bytes} bytes", "4 bytes") in problems


@pytest.mark.parametrize(
    "path",
    ["../outside.parquet", "/etc/passwd", "data/wsi_train/patch_train/../../x.parquet", "data/a.parquet", 7, None],
)
def test_no_path_leaves_the_folder(good: Path, tmp_path: Path, path: object) -> None:
    folder = shutil.copytree(good, tmp_path / "her2-ihc-40x")
    content = json.loads((folder / "manifest.json").read_text())
    content["files"][0]["path"] = path
    shards = [Shard(**entry) for entry in content["files"]]
    content["digest"] = "" if not isinstance(path, str) else digest(shards)
    (folder / "manifest.json").write_text(json.dumps(content))
    found = verify(folder)
    assert [problem.path for problem in found.problems] == ["manifest.json"]
    assert found.checked == 0


def test_links_are_refused(good: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "her2-ihc-40x")
    (tmp_path / "secret.png").write_text("of the machine, not of the data set")
    (folder / "figures").mkdir()
    (folder / "figures" / "a.png").symlink_to(tmp_path / "secret.png")
    (folder / "more").symlink_to(tmp_path)
    assert [problem.path for problem in verify(folder).problems] == ["figures/a.png", "more"]


def test_the_place_in_the_card_is_named(good: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "her2-ihc-40x")
    path = folder / "README.md"
    pattern = re.search(r"(?<=path: ).*patch_test/.*", path.read_text())
    assert pattern is not None
    path.write_text(path.read_text().replace(pattern[0], "data/other/*", 1))
    said = [problem for problem in map(str, verify(folder).problems) if "'data_files'" in problem]
    assert len(said) == 1
    assert re.search(
        r"'configs'\[\d\]\['data_files'\]\[\d\]\['path'\].*: '.*patch_test/.*, found 'data/other/\*'$", said[0]
    )


BOMB = "---\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 9)}]\n" for n in range(30)) + "---\n"


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        BOMB.replace("a29", "configs"),
        "---\na: &a [*a]\n---\n",
        "---\n" + "[" * 2000 + "\n---\n",
        "---\n- x\n---\n",
        "---\nconfigs: &a [*a]\n---\n",
        "---\nconfigs: &a [{data_files: *a, config_name: wsi_split}]\n---\n",
        "---\nx: " + "[" * 60_000 + "]" * 60_000 + "\n---\n",
        "---\nx: " + "- " * 60_000 + "\n---\n",
        f"---\nconfigs: 0x{'f' * 5000}\n0x{'f' * 5000}: x\n---\n",
        "---\nx: !!bool x\n---\n",
        "---\nx: !!int ''\n---\n",
        "---\nx: !!timestamp x\n---\n",
        '---\nx: "\\UFFFFFFFF"\n---\n',
        "\0",
    ],
)
def test_hostile_cards(good: Path, tmp_path: Path, text: str) -> None:
    folder = shutil.copytree(good, tmp_path / "her2-ihc-40x")
    (folder / "README.md").write_text(text)
    assert {problem.path for problem in verify(folder).problems} == {"README.md"}


@given(st.binary(max_size=200))
def test_any_card_is_a_problem_and_no_crash(good: Path, tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "any-card"
    if not folder.exists():
        shutil.copytree(good, folder)
    (folder / "README.md").write_bytes(b"---\n" + data + b"\n---\n")
    assert verify_folder(folder, subset=Subset(1, 1000), workers=1).problems


def test_subsets_cover_everything(good: Path) -> None:
    parts = [verify_folder(good, subset=Subset(n, 3), workers=1) for n in (1, 2, 3)]
    assert sum(part.checked for part in parts) == len(read_manifest(good).shards)
    assert all(part.problems == () for part in parts)


def test_a_subset_reads_its_part_alone(good: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "her2-ihc-40x")
    victim = folder / sorted(read_manifest(folder).shards)[0].path
    victim.write_bytes(flip(victim.read_bytes()))
    assert verify_folder(folder, subset=Subset(1, 2)).problems
    assert not verify_folder(folder, subset=Subset(2, 2)).problems
    victim.unlink()
    assert verify_folder(folder, subset=Subset(2, 2)).problems


def test_the_command(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(good)]) == 0
    printed = capsys.readouterr().out
    assert f"digest {read_manifest(good).digest}" in printed
    assert f"manifest {contents(good)['manifest.json'][0]}" in printed
    assert main(["verify", str(tmp_path)]) == 1
    assert "manifest.json: expected a manifest" in capsys.readouterr().out
    for wrong in ("0/2", "3/2", "1", "1/0", "a/b"):
        with pytest.raises(SystemExit) as caught:
            main(["verify", str(good), "--subset", wrong])
        assert caught.value.code == 2
