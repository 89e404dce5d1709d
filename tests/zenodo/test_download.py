"""The decisions of a download; its effects are tested with a server, in `test_zenodo`."""

from __future__ import annotations

import pytest

from her2_ihc_40x_builder.zenodo.download import RemoteFile, body_start
from her2_ihc_40x_builder.zenodo.http_client import FetchError

FILE = RemoteFile("a.zip", 10, "0" * 32, "https://zenodo.org/a")


@pytest.mark.parametrize(
    ("status", "span", "length", "start"),
    [
        (206, "bytes 4-9/10", "6", 4),
        (206, "bytes 4-9/*", None, 4),
        (200, None, "10", 0),
        (200, None, None, 0),
        (206, "bytes 0-9/10", "10", None),
        (206, "bytes 4-10/11", "7", None),
        (206, None, "6", None),
        (200, None, "11", None),
        (204, None, None, None),
    ],
)
def test_where_a_body_starts(status: int, span: str | None, length: str | None, start: int | None) -> None:
    if start is None:
        with pytest.raises(FetchError):
            body_start(status, span, length, 4, FILE)
    else:
        assert body_start(status, span, length, 4, FILE) == start
