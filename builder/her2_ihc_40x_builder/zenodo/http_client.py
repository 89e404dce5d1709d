"""Ask a server over https by this project's rules: no plain http, no redirect out of them, patient within bounds.

The standard library's client does the talking: `datasets` brings `requests` in one version, `httpx` in another.
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import logging
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import IO, Any, TypeVar

from her2_ihc_40x import ZENODO_RECORD, __version__

from ..errors import Her2Error

logger = logging.getLogger(__name__)

USER_AGENT = f"her2-ihc-40x/{__version__} (+https://doi.org/10.5281/zenodo.{ZENODO_RECORD})"
# The server is busy or broken for now; any other refusal is for good.
_TRANSIENT = {408, 429, 500, 502, 503, 504}
_T = TypeVar("_T")


class FetchError(Her2Error, OSError):
    """Something that cannot be had: refused, unreachable, damaged, or not to be trusted."""


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


class TransientError(Exception):
    """A failure that may pass."""

    def __init__(self, url: str, what: str, retry_after: str | None = None) -> None:
        super().__init__(what)
        self.url = url
        self.retry_after = retry_after


class RangeError(Exception):
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
                    raise TransientError(url, f"the connection ended after {len(data)} bytes")
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
                raise RangeError from None
            if error.code in _TRANSIENT:
                raise TransientError(url, f"HTTP {error.code}", error.headers.get("Retry-After")) from None
            raise FetchError(url, "an answer", f"HTTP {error.code}", "Check the record and the endpoint.") from None
        except (OSError, http.client.HTTPException) as error:
            if isinstance(getattr(error, "reason", error), ssl.SSLCertVerificationError):
                remedy = "Check the proxy, its certificate, and the clock."
                raise FetchError(url, "a certificate to trust", str(error), remedy) from error
            raise TransientError(url, str(error) or type(error).__name__) from error
        return response

    def read(self, response: http.client.HTTPResponse, amount: int) -> bytes:
        """What has arrived, at most `amount`; nothing at the end, also where a connection ended too early."""
        try:
            data = response.read1(amount)
        except (OSError, http.client.HTTPException) as error:
            raise TransientError(response.url, str(error) or type(error).__name__) from error
        if data:
            self.failures = 0
        return data

    def patiently(self, action: Callable[[], _T]) -> _T:
        """Do it until it works, or patience ends."""
        while True:
            try:
                return action()
            except TransientError as trouble:
                self._wait(trouble)

    def _wait(self, trouble: TransientError) -> None:
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
