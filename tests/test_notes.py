"""A note is whole or none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from her2_ihc_40x_builder.notes import read_checked, with_checksum, write_note


def test_it_is_read_as_written(tmp_path: Path) -> None:
    content = {"threshold": 0.9, "reason": "Mäkinen", "drops": [True, None]}
    write_note(tmp_path / "new" / "note.json", json.dumps(with_checksum(content)))
    assert read_checked(tmp_path / "new" / "note.json") == with_checksum(content)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["note.json"]


@pytest.mark.parametrize("spoil", [("0.9", "0.8"), ("reason", "season"), ("sha256", "sha255"), ("{", "[{"), ("}", "")])
def test_an_edited_or_damaged_one_is_none(tmp_path: Path, spoil: tuple[str, str]) -> None:
    text = json.dumps(with_checksum({"threshold": 0.9, "reason": "few"}))
    (tmp_path / "note").write_text(text)
    assert read_checked(tmp_path / "note")["threshold"] == 0.9
    (tmp_path / "note").write_text(text.replace(*spoil, 1))
    with pytest.raises(ValueError, match=r"edited or damaged|delimiter|Expecting"):
        read_checked(tmp_path / "note")
