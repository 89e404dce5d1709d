"""A record server on loopback that misbehaves as servers and networks do."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

WSI, PATCH = "her2-ihc-40x-wsi.zip", "her2-ihc-40x-patch.zip"


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def noise(size: int, seed: int) -> bytes:
    return hashlib.shake_128(bytes([seed])).digest(size)


@dataclass
class Fault:
    """How one answer goes wrong."""

    status: int | None = None
    retry_after: str | None = None
    cut: float | None = None
    hang: bool = False
    ignore_range: bool = False
    extra: bytes = b""
    flip: bool = False
    location: str | None = None
    no_length: bool = False


@dataclass
class Zenodo:
    """A record server. Faults of a file are used up one an answer; `seen` holds (file, Range, User-Agent)."""

    files: dict[str, bytes]
    url: str = ""
    record: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    seen: list[tuple[str, str | None, str | None]] = field(default_factory=list)

    def describe(self) -> None:
        """Make the record say what the files are now."""
        entries = [
            {
                "key": name,
                "size": len(data),
                "checksum": f"md5:{md5(data)}",
                "links": {"self": f"{self.url}/api/records/1/files/{name}/content"},
            }
            for name, data in self.files.items()
        ]
        licence = {"license": {"id": "cc-by-sa-4.0"}, "version": "v1"}
        ids = {"id": 1, "doi": "10.5281/zenodo.1", "conceptdoi": "10.5281/zenodo.0"}
        self.record = {**ids, "metadata": licence, "files": entries}

    def ranges(self, name: str) -> list[str | None]:
        return [span for path, span, _ in self.seen if path == name]


class _Handler(BaseHTTPRequestHandler):
    zenodo: Zenodo

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        zenodo = self.zenodo
        name = "record" if self.path.count("/") == 3 else self.path.split("/")[-2]
        span = self.headers.get("Range")
        zenodo.seen.append((name, span, self.headers.get("User-Agent")))
        queue = zenodo.faults.get(name, [])
        fault = queue.pop(0) if queue else Fault()
        if fault.status is not None:
            self.send_response(fault.status)
            for header, value in (("Retry-After", fault.retry_after), ("Location", fault.location)):
                if value is not None:
                    self.send_header(header, value)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = json.dumps(zenodo.record).encode() if name == "record" else zenodo.files[name] + fault.extra
        start = 0 if span is None or fault.ignore_range else int(span[len("bytes=") : -1])
        if start >= len(data) > 0:
            self.send_error(416)
            return
        body = data[start:]
        if fault.flip:
            body = body[:-1] + bytes([body[-1] ^ 1])
        self.send_response(206 if start else 200)
        if not fault.no_length:
            self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(body if fault.cut is None else body[: int(len(body) * fault.cut)])
        if fault.hang:
            self.wfile.flush()
            time.sleep(30)


@contextmanager
def serving() -> Iterator[Zenodo]:
    """A server of a record of two files, while the context lasts."""
    state = Zenodo({WSI: noise(300_000, 1), PATCH: noise(200_000, 2)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"zenodo": state}))
    server.daemon_threads = True
    server.block_on_close = False
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    state.describe()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def zenodo() -> Iterator[Zenodo]:
    with serving() as state:
        yield state
