"""A Hub on loopback for the real `huggingface_hub` and `datasets`: dataset repos, a log, and faults on demand.

    with HubDouble() as hub:
        hub.store.create("lab/data")
        hub.fail("race", path="/commit/")
        subprocess.run([...], env=hub.environment(tmp_path / "home"))
        assert hub.received("PUT") == size

The clients read the endpoint when they are imported, hence the subprocess. Objects are kept in memory.
"""

from __future__ import annotations

import math
import os
import re
import sys
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import parse_qs, urlsplit

import pytest

from hub_answers import Call, Reply, answer
from hub_store import HubStore, flip

Kind = Literal["status", "drop", "lost", "garble", "rot", "race", "hold"]


@dataclass
class Fault:
    """What goes wrong with some of the requests, as `HubDouble.fail` describes it."""

    kind: Kind
    method: str | None
    path: str
    nth: int
    times: float
    status: int
    seen: int = 0

    def hits(self, method: str, path: str) -> bool:
        if self.method not in (None, method) or not re.search(self.path, path):
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.times


@dataclass
class Request:
    """A request as it was served: bytes are of bodies, without headers; `status` 0 is a connection cut."""

    method: str
    path: str
    agent: str
    received: int = 0
    sent: int = 0
    status: int = 0


class HubDouble:
    """The server; a context manager.

    Args:
        user: who owns `token`, the one token that may write, and read private repos.
    """

    def __init__(self, user: str = "lab", token: str = "hf_double") -> None:
        self.store = HubStore(user, token)
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.held, self.released = threading.Event(), threading.Event()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> HubDouble:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self, home: Path) -> dict[str, str]:
        """The environment of a client process, without this one's own settings of the Hub.

        Args:
            home: a folder of its own: caches and token files of the client.
        """
        ours = {name: value for name, value in os.environ.items() if not re.match(r"(?i)HF_|HUGGING|\w+_proxy$", name)}
        return ours | {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_TOKEN": self.store.token,
            "HF_HUB_DISABLE_XET": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }

    def fail(
        self,
        kind: Kind,
        *,
        method: str | None = None,
        path: str = "",
        nth: int = 1,
        times: float = 1,
        status: int = 500,
    ) -> None:
        """From now on, let some requests go wrong.

        Args:
            kind: "status": refused with `status`, nothing done. "drop": the connection is cut half way through the
                request's body, or the answer's if there is none. "lost": done, then cut before the answer.
                "garble": a bit of the body flips on the way. "rot": a bit of the object flips after the check at PUT.
                "race": another commit lands on main first. "hold": it is answered only once `released` is set; `held`
                says that it has come.
            method: only this one; None for any.
            path: a regular expression that is searched in the raw path.
            nth: the first of the matching requests that is hit, counted from now, from 1.
            times: how many are hit; `math.inf` for all that follow.
            status: of the refusal. The client tries 408, 429, 500, 502, 503 and 504 again, after a second and more.
        """
        if kind not in get_args(Kind):
            raise ValueError(f"no fault is called {kind}")
        self.faults.append(Fault(kind, method, path, nth, times, status))

    def interrupt(self, nth: int) -> None:
        """The network is gone from the nth request on, counted from now: what the client asks is refused for good."""
        self.fail("status", nth=nth, times=math.inf, status=400)

    def received(self, method: str | None = None, path: str = "") -> int:
        """Bytes of the bodies of all such requests: what a client sent."""
        return sum(r.received for r in self.requests if method in (None, r.method) and re.search(path, r.path))

    def xet_bytes(self) -> int:
        """Bytes of the chunks in `store.xet_folder`: what clients that use Xet have sent so far."""
        assert self.store.xet_folder is not None
        return sum(path.stat().st_size for path in self.store.xet_folder.rglob("xorbs/default.*"))


@pytest.fixture
def hub() -> Iterator[HubDouble]:
    """A Hub without repos."""
    with HubDouble() as double:
        yield double


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed, or cut off on purpose, is no news."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    hub: HubDouble
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: the second would wait 40 ms for an acknowledgement

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: `HubDouble.requests` is the log."""

    def serve(self) -> None:
        store = self.hub.store
        request = Request(self.command, self.path, self.headers.get("User-Agent", ""))
        with store.lock:
            self.hub.requests.append(request)
            # Every fault counts the request, so no short circuit here.
            kinds = {f.kind: f for f in self.hub.faults if f.hits(self.command, self.path)}
        has_body = bool(self.headers.get("Transfer-Encoding")) or self.headers.get("Content-Length", "0") != "0"
        body = self._read(request, half="drop" in kinds)
        if "drop" in kinds and has_body:
            self.close_connection = True
            return
        if "hold" in kinds:
            self.hub.held.set()
            self.hub.released.wait(60)
        if "garble" in kinds and body:
            body = flip(body)
        with store.lock:
            reply = Reply(kinds["status"].status) if "status" in kinds else self._answer(body, kinds)
        if "lost" in kinds:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        payload = b"" if self.command == "HEAD" else reply.body
        if "drop" in kinds:
            payload = payload[: len(payload) // 2]
            self.close_connection = True
        # Counted before it is sent: a client that has its answer finds the log complete.
        request.status, request.sent = reply.status, len(payload)
        self.wfile.write(payload)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve  # noqa: N815

    def _read(self, request: Request, half: bool) -> bytes:
        """The body, sent whole or in chunks; or only half of it (the first chunk)."""
        parts: list[bytes] = []
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
                if half:
                    break
            else:
                self.rfile.readline()
        else:
            length = int(self.headers.get("Content-Length", 0))
            parts.append(self.rfile.read(length // 2 if half else length))
        request.received = sum(map(len, parts))
        return b"".join(parts)

    def _answer(self, body: bytes, kinds: Collection[str]) -> Reply:
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        bearer = re.fullmatch(r"Bearer (.+)", self.headers.get("Authorization", ""))
        token, span = bearer[1] if bearer else None, self.headers.get("Range")
        call = Call(self.hub.store, self.hub.url, url.path, token, query, body, span, kinds)
        return answer(self.command, call)
