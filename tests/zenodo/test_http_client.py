"""The decisions of a client; its effects are tested with a server, in `test_zenodo`."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from her2_ihc_40x_builder.zenodo.http_client import is_allowed, pause


def test_how_long_to_wait() -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert [pause(n, None, now) for n in (1, 2, 3, 99)] == [1, 2, 4, 64]
    assert pause(1, "7", now) == pause(1, " 7\x1f", now) == 7
    assert pause(3, "Thu, 01 Jan 2026 00:00:30 GMT", now) == 30
    assert pause(3, "Thu, 01 Jan 2026 00:00:30 GMT", now + timedelta(hours=1)) == 0
    assert pause(3, "soon", now) == 4
    assert pause(3, "9" * 400, now) == 4


@given(st.text(st.characters(max_codepoint=127), max_size=30), st.integers(1, 10**6))
def test_any_retry_after_gives_a_time(text: str, failures: int) -> None:
    assert pause(failures, text, datetime(2026, 1, 1, tzinfo=timezone.utc)) >= 0


@pytest.mark.parametrize(
    ("url", "endpoint", "allowed"),
    [
        ("https://zenodo.org/x", "https://zenodo.org", True),
        ("https://mirror.example/x", "https://zenodo.org", True),
        ("http://zenodo.org/x", "https://zenodo.org", False),
        ("http://zenodo.org/x", "http://zenodo.org", False),
        ("http://127.0.0.1/x", "http://127.0.0.1", True),
        ("http://127.0.0.1/x", "https://zenodo.org", False),
        ("http://127.0.0.1.example/x", "http://127.0.0.1", False),
        ("http://127.0.0.1@example.org/x", "http://127.0.0.1", False),
        ("file:///etc/passwd", "http://127.0.0.1", False),
        ("ftp://127.0.0.1/x", "http://127.0.0.1", False),
        ("https://[x", "http://127.0.0.1", False),
        ("https:///x", "http://127.0.0.1", False),
    ],
)
def test_whom_to_talk_to(url: str, endpoint: str, allowed: bool) -> None:
    assert is_allowed(url, endpoint) is allowed
