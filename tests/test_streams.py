"""What is written to the standard streams cannot steer a terminal; bars still move in it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

from her2_ihc_40x_builder.streams import escape_codes, guard_streams


def guarded(monkeypatch: pytest.MonkeyPatch) -> tuple[io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    guard_streams()
    return out, err


@given(st.text())
def test_nothing_is_left_that_a_terminal_obeys(text: str) -> None:
    escaped = escape_codes(text)
    obeyed = {*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)} - {9, 10}
    assert obeyed.isdisjoint(map(ord, escaped))
    assert escape_codes(escaped) == escaped


@given(st.text(), st.booleans())
def test_json_stays_what_it_was(text: str, ascii_alone: bool) -> None:
    assert json.loads(escape_codes(json.dumps({text: [text]}, ensure_ascii=ascii_alone))) == {text: [text]}


def test_text_passes_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = guarded(monkeypatch)
    text = "3+\tM\u00fcnster \u2192 \u05d0\n"
    print(text, end="")
    print(text, end="", file=sys.stderr)
    assert [stream.getvalue() for stream in streams] == [text, text]


def test_names_do_not_steer(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = guarded(monkeypatch)
    name = "a\x1b[A\r\x9b2J\u202eb"
    escaped = r"a\u001b[A\u000d\u009b2J\u202eb"
    for stream in (sys.stdout, sys.stderr):
        print(name, file=stream)
        stream.writelines([name, "\n"])
    assert [stream.getvalue() for stream in streams] == [f"{escaped}\n{escaped}\n"] * 2
    print("\x1b[A\r")
    assert streams[0].getvalue().endswith(r"\u001b[A\u000d" + "\n")


def test_bars_move_in_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = guarded(monkeypatch)
    untouched = io.StringIO()
    for file in (untouched, sys.stderr):
        with tqdm(total=2, file=file, bar_format="{desc}{n}") as one, tqdm(total=2, file=file, bar_format="{n}") as two:
            two.update(2)
            one.set_description("here")
    assert "\x1b[A" in untouched.getvalue()
    assert streams[1].getvalue() == untouched.getvalue()


def test_python_writes_no_colours_of_its_own() -> None:
    pty = pytest.importorskip("pty", reason="terminals of POSIX")
    here, there = pty.openpty()
    code = "from her2_ihc_40x_builder.streams import guard_streams; guard_streams(); raise ValueError('x')"
    with os.fdopen(here, "rb") as terminal:
        environment = {**os.environ, "TERM": "xterm"}
        done = subprocess.run([sys.executable, "-c", code], stderr=there, env=environment, check=False)
        os.close(there)
        said = terminal.read1(1 << 16).decode()
    assert done.returncode == 1
    assert said.splitlines()[-1] == "ValueError: x"
    assert "u001b" not in said
