"""What a Zenodo record says of itself, taken from its JSON: nothing in it is trusted."""

from __future__ import annotations

import contextlib
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .download import RemoteFile
from .http_client import FetchError

__all__ = ["SOURCE_FILE", "Record"]

#: Where a fetch writes down what it fetched.
SOURCE_FILE = "source.json"

_REMEDY = "Nothing was written. Tell the record's authors."
# A plain name on every system: no folder, drive or stream, not hidden, and room for `.<md5>.part`.
_PLAIN_NAME = re.compile(r'[^\x00-\x1f\x7f/\\:*?"<>|.\s][^\x00-\x1f\x7f/\\:*?"<>|]*(?<![.\s])')
_MAX_NAME_BYTES = 200


@dataclass(frozen=True)
class Record:
    """A record as Zenodo describes it; what it does not say is None."""

    id: str
    doi: str | None
    concept_doi: str | None
    version: str | None
    licence: str | None
    files: tuple[RemoteFile, ...]

    @classmethod
    def parse(cls, content: object, url: str) -> Record:
        """Read the JSON of `/api/records/ID`, which came from `url`.

        Raises:
            FetchError: a field is missing or of another type, or a file's name is not a plain one.
        """
        record = _mapping(content, url, "a record")
        metadata = _mapping(record.get("metadata", {}), url, "metadata")
        entries = record.get("files")
        if not isinstance(entries, list) or not entries:
            raise FetchError(url, "a list of files", "none", "Check the record: it may be restricted or withdrawn.")
        files = tuple(_parse_file(_mapping(entry, url, "a file"), url) for entry in entries)
        folded = [file.name.casefold() for file in files]
        if len(set(folded)) < len(folded):
            raise FetchError(url, "different file names", ", ".join(sorted(f.name for f in files)), _REMEDY)
        if isinstance(record.get("id"), bool) or not isinstance(record.get("id"), (int, str)):
            raise FetchError(url, "an id", repr(record.get("id")), _REMEDY)
        return cls(
            id=str(record["id"]),
            doi=_text(record.get("doi")),
            concept_doi=_text(record.get("conceptdoi")),
            version=_text(metadata.get("version")),
            licence=_licence(metadata.get("license"), url),
            files=files,
        )

    def source(self) -> dict[str, Any]:
        """What `source.json` holds: the whole record, also files that were not asked for."""
        files = [{"name": f.name, "size": f.size, "checksum": f"md5:{f.md5}"} for f in self.files]
        return {
            "record": self.id,
            "doi": self.doi,
            "conceptdoi": self.concept_doi,
            "version": self.version,
            "licence": self.licence,
            "files": files,
        }


def _parse_file(entry: Mapping[str, Any], url: str) -> RemoteFile:
    name, size, checksum = entry.get("key"), entry.get("size"), entry.get("checksum")
    if not isinstance(name, str) or not _is_plain(name):
        raise FetchError(url, "plain file names", repr(name)[:300], _REMEDY)
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**63:
        raise FetchError(f"{url}: {name}", "its size in bytes", repr(size)[:100], _REMEDY)
    if not isinstance(checksum, str) or not (md5 := re.fullmatch(r"md5:([0-9a-f]{32})", checksum)):
        raise FetchError(f"{url}: {name}", 'a checksum "md5:<32 hex>"', repr(checksum)[:100], _REMEDY)
    link = _mapping(entry.get("links", {}), url, f"links of {name}").get("self")
    if not isinstance(link, str):
        raise FetchError(f"{url}: {name}", "links.self", repr(link)[:100], _REMEDY)
    try:
        # A name outside ASCII may stand in it as it is.
        address = urllib.parse.quote(urllib.parse.urljoin(url, link), safe="%/:?#[]@!$&'()*+,;=~")
    except ValueError as error:
        raise FetchError(f"{url}: {name}", "a URL in links.self", f"{link[:300]!r}", _REMEDY) from error
    return RemoteFile(name, size, md5[1], address)


def _is_plain(name: str) -> bool:
    if name.casefold() == SOURCE_FILE or name.casefold().endswith(".part"):
        return False
    with contextlib.suppress(UnicodeEncodeError):
        return bool(_PLAIN_NAME.fullmatch(name)) and len(name.encode()) <= _MAX_NAME_BYTES
    return False


def _mapping(value: object, url: str, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FetchError(url, f"{what} as a JSON object", repr(value)[:100], "Check the endpoint.")
    return value


def _text(value: object) -> str | None:
    """A line of text; None where there is none, or more than that."""
    return value if isinstance(value, str) and value and value.isprintable() else None


def _licence(value: object, url: str) -> str | None:
    licence = value.get("id") if isinstance(value, dict) else None
    if isinstance(licence, str) and licence and not re.fullmatch(r"[A-Za-z0-9.+-]{1,100}", licence):
        raise FetchError(url, "the plain id of a licence", f"{licence[:100]!r}", _REMEDY)
    return _text(licence)
