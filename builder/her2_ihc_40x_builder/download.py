"""Download a file whose size and md5 are known: over https, resumed where it broke off, patient within bounds.

The standard library's client does the talking: `datasets` brings `requests` in one version, `httpx` in another.
"""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import http.client
import logging
import os
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar

from her2_ihc_40x import ZENODO_RECORD, __version__

from .errors import Her2Error, OutputError

__all__ = ["Client", "FetchError", "Part", "Patience", "RemoteFile", "body_start", "complete", "is_allowed", "pause"]

logger = logging.getLogger(__name__)

USER_AGENT = f"her2-ihc-40x/{__version__} (+https://doi.org/10.5281/zenodo.{ZENODO_RECORD})"
CHUNK = 1 << 20
# The server is busy or broken for now; any other refusal is for good.
_TRANSIENT = {408, 429, 500, 502, 503, 504}
_CHANGED = "The server and the record disagree: run it again later, or tell the record's authors."
_T = TypeVar("_T")


class FetchError(Her2Error, OSError):
    """Something that cannot be had: refused, unreachable, damaged, or not to be trusted."""


@dataclass(frozen=True)
class RemoteFile:
    """A file to download: a plain name, its bytes, their md5 in hex, and where it is."""

    name: str
    size: int
    md5: str
    url: str


@dataclass(frozen=True)
class Patience:
    """How long to bear with a server.

    Args:
        tries: failures in a row, not a byte between them, until it is given up.
        wait: seconds of waiting between tries, in all.
        timeout: seconds of silence until a connection counts as broken.
        first: seconds of the first wait, doubled with each failure in a row, where the server does not say.
    """

    tries: int = 8
    wait: float = 900.0
    timeout: float = 60.0
    first: float = 1.0


# --- Decisions ----------------------------------------------------------------------------------------------------


def pause(failures: int, retry_after: str | None, now: datetime, first: float = 1.0) -> float:
    """Seconds to wait after so many failures in a row: as Retry-After says (seconds or a date), else 1, 2, 4, ..."""
    if retry_after is not None:
        if re.fullmatch(r"[0-9]{1,9}", retry_after.strip()):
            return float(retry_after.strip())
        with contextlib.suppress(ValueError, OverflowError):
            until = email.utils.parsedate_to_datetime(retry_after)
            return max(0.0, (until.replace(tzinfo=until.tzinfo or timezone.utc) - now).total_seconds())
    return first * float(2 ** min(failures - 1, 6))


def body_start(
    status: int, content_range: str | None, content_length: str | None, offset: int, file: RemoteFile
) -> int:
    """The byte of the file at which an answer's body starts: `offset` as asked for, or 0 where Range was ignored.

    Raises:
        FetchError: the answer is about a file of another length, or about another part of it.
    """
    if status == 206:
        span = re.fullmatch(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)", content_range or "")
        if span and int(span[1]) == offset and span[2] in ("*", str(file.size)):
            return offset
        raise FetchError(file.url, f"bytes from {offset} of {file.size}", f"Content-Range: {content_range}", _CHANGED)
    if status != 200 or content_length not in (None, str(file.size)):
        raise FetchError(file.url, f"{file.size} bytes", f"HTTP {status} with {content_length} bytes", _CHANGED)
    return 0


def is_allowed(url: str, endpoint: str) -> bool:
    """Whether to talk to a URL: https anywhere; plain http on this machine alone, if the endpoint is there too."""
    scheme, host = _scheme_and_host(url)
    return bool(host) and (scheme == "https" or (scheme == "http" and _is_local(url) and _is_local(endpoint)))


def _is_local(url: str) -> bool:
    return _scheme_and_host(url)[1] in ("localhost", "127.0.0.1", "::1")


def _scheme_and_host(url: str) -> tuple[str, str | None]:
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return "", None
    return parts.scheme, parts.hostname


# --- HTTP ---------------------------------------------------------------------------------------------------------


class _TransientError(Exception):
    """A failure that may pass."""

    def __init__(self, url: str, what: str, retry_after: str | None = None) -> None:
        super().__init__(what)
        self.url = url
        self.retry_after = retry_after


class _RangeError(Exception):
    """The server has no such range (416)."""


class Client:
    """GET by this project's rules.

    Args:
        endpoint: where it starts from; https, or http on this machine.
        patience: with a server that fails, over all requests of this client.

    Raises:
        FetchError: by every method, for a URL that is not allowed, a refusal, or the end of patience.
    """

    def __init__(self, endpoint: str, patience: Patience) -> None:
        self.endpoint = endpoint
        self.patience = patience
        self.failures = 0
        self.waited = 0.0
        proxies = [urllib.request.ProxyHandler({})] if _is_local(endpoint) else []
        self._opener = urllib.request.build_opener(_Redirects(endpoint), *proxies)

    def json_bytes(self, url: str, limit: int) -> bytes:
        """A small document, whole."""

        def get() -> bytes:
            with self.open(url) as response:
                declared, data = response.length or 0, b""
                while len(data) <= limit and (more := self.read(response, limit + 1 - len(data))):
                    data += more
                if len(data) < min(declared, limit):
                    raise _TransientError(url, f"the connection ended after {len(data)} bytes")
                return data

        data = self.patiently(get)
        if len(data) > limit:
            raise FetchError(url, f"at most {limit} bytes", "more", "Check the endpoint.")
        return data

    def open(self, url: str, offset: int = 0) -> http.client.HTTPResponse:
        """Ask once, for the bytes from `offset` on."""
        _check_allowed(url, self.endpoint)
        headers = {"User-Agent": USER_AGENT} | ({"Range": f"bytes={offset}-"} if offset else {})
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 (checked above)
        try:
            response: http.client.HTTPResponse = self._opener.open(request, timeout=self.patience.timeout)
        except FetchError:
            raise
        except (ValueError, http.client.InvalidURL) as error:
            raise FetchError(url, "a URL", str(error), "Check the endpoint.") from error
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and offset:
                raise _RangeError from None
            if error.code in _TRANSIENT:
                raise _TransientError(url, f"HTTP {error.code}", error.headers.get("Retry-After")) from None
            raise FetchError(url, "an answer", f"HTTP {error.code}", "Check the record and the endpoint.") from None
        except (OSError, http.client.HTTPException) as error:
            if isinstance(getattr(error, "reason", error), ssl.SSLCertVerificationError):
                remedy = "Check the proxy, its certificate, and the clock."
                raise FetchError(url, "a certificate to trust", str(error), remedy) from error
            raise _TransientError(url, str(error) or type(error).__name__) from error
        return response

    def read(self, response: http.client.HTTPResponse, amount: int) -> bytes:
        """What has arrived, at most `amount`; nothing at the end, also where a connection ended too early."""
        try:
            data = response.read1(amount)
        except (OSError, http.client.HTTPException) as error:
            raise _TransientError(response.url, str(error) or type(error).__name__) from error
        if data:
            self.failures = 0
        return data

    def patiently(self, action: Callable[[], _T]) -> _T:
        """Do it until it works, or patience ends."""
        while True:
            try:
                return action()
            except _TransientError as trouble:
                self._wait(trouble)

    def _wait(self, trouble: _TransientError) -> None:
        self.failures += 1
        delay = pause(self.failures, trouble.retry_after, datetime.now(timezone.utc), self.patience.first)
        if self.failures >= self.patience.tries or self.waited + delay > self.patience.wait:
            found = f"{trouble}, {self.failures} times; waited {self.waited:.0f} s, and {delay:.0f} s would be next"
            remedy = "Run it again later: what has arrived is kept."
            raise FetchError(trouble.url, "an answer", found, remedy) from trouble
        logger.warning("%s: %s; trying again in %.0f s", trouble.url, trouble, delay)
        time.sleep(delay)
        self.waited += delay


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to where `is_allowed` says, and no further."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        _check_allowed(newurl, self.endpoint)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_allowed(url: str, endpoint: str) -> None:
    if not is_allowed(url, endpoint):
        remedy = "Name an https endpoint; plain http is for this machine only."
        raise FetchError(url, "an https address", "another", remedy)


# --- Files --------------------------------------------------------------------------------------------------------


class Part:
    """A file that is being filled, and the md5 of what it holds; a context manager.

    Args:
        path: of the part; what an earlier process left in it is kept.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # A link that somebody put there would lead out of the folder.
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self._stream = os.fdopen(os.open(path, flags, 0o666), "r+b")
        self._digest = hashlib.md5(usedforsecurity=False)
        while data := self._stream.read(CHUNK):
            self._digest.update(data)
        self.size = self._stream.tell()
        #: From how many connections the bytes are.
        self.pieces = 1 if self.size else 0

    def __enter__(self) -> Part:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    @property
    def md5(self) -> str:
        """Of the bytes so far, in hex."""
        return self._digest.hexdigest()

    def append(self, data: bytes) -> None:
        """Add bytes at the end."""
        self._stream.write(data)
        self._digest.update(data)
        self.size += len(data)

    def clear(self) -> None:
        """Throw all bytes away."""
        self._stream.seek(0)
        self._stream.truncate()
        self._digest = hashlib.md5(usedforsecurity=False)
        self.size = self.pieces = 0

    def finish(self, target: Path) -> None:
        """Give the file its name, now that it is whole.

        Raises:
            OutputError: something has that name.
        """
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        if target.exists():
            raise OutputError(str(target), "no file yet", "one that came meanwhile", "Move it away and run it again.")
        self.path.replace(target)


def complete(client: Client, file: RemoteFile, part: Part, report: Callable[[int], None]) -> None:
    """Fill a part until it holds the file's bytes, over as many connections as it takes, and verify them.

    Args:
        client: to ask with.
        file: what to ask for.
        part: what is there of it, at most the file's size.
        report: told the part's size after each chunk.

    Raises:
        FetchError: the file cannot be had, or its bytes are wrong; the part is then kept, or emptied.
    """
    # A seam may join two files: the part may be damaged, or the file replaced while it arrived. One more chance then.
    for chance in (1, 2):
        client.patiently(lambda: _receive(client, file, part, report))
        if part.md5 == file.md5:
            return
        found, pieces = part.md5, part.pieces
        part.clear()
        if pieces == 1 or chance == 2:
            raise FetchError(file.url, f"md5 {file.md5}", found, "The bytes were thrown away. " + _CHANGED)
        logger.warning("%s: wrong md5 after it was resumed; once more from the start", file.url)


def _receive(client: Client, file: RemoteFile, part: Part, report: Callable[[int], None]) -> None:
    """Append what one connection gives."""
    if part.size == file.size:
        return
    try:
        response = client.open(file.url, part.size)
    except _RangeError:
        part.clear()
        response = client.open(file.url)
    with response:
        span, length = response.headers.get("Content-Range"), response.headers.get("Content-Length")
        if body_start(response.status, span, length, part.size, file) != part.size:
            part.clear()
        part.pieces += 1
        while part.size < file.size and (data := client.read(response, min(CHUNK, file.size - part.size))):
            part.append(data)
            report(part.size)
    if part.size < file.size:
        raise _TransientError(file.url, f"the connection ended at {part.size} of {file.size} bytes")
