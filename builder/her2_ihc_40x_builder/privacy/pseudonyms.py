"""Pseudonyms: names made from a key by HMAC-SHA-256, which nobody can make or check without the key."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

#: One of sixteen for each half of a byte. Without digits and vowels a pseudonym never looks like a number or a name.
_LETTERS = "bcdfghjkmnpqrstv"
_NAME_BYTES = 8


@dataclass(frozen=True)
class Key:
    """A secret, and what is made from it; equal secrets make equal pseudonyms in every build.

    Names of different kinds are made apart, so that a slide and a patient of one name share no pseudonym.

    Args:
        secret: random bytes.
    """

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """By which two builds are told to share a key; 16 hex digits, from which the key cannot be found."""
        return self._digest("key", "id").hex()[:16]

    def slide(self, slide_id: str) -> str:
        """The pseudonym of a slide."""
        return self._name("slide", slide_id)

    def case(self, case_id: str) -> str:
        """The pseudonym of a patient."""
        return self._name("case", case_id)

    def region(self, slide_id: str, roi_id: str) -> str:
        """The pseudonym of a region; the same id on two slides gives two."""
        return self._name("region", slide_id, roi_id)

    def file(self, path: str) -> str:
        """The pseudonym of a file that is no slide of the build."""
        return self._name("file", path)

    def seal(self, fingerprint: str) -> str:
        """A fingerprint that only a holder of the key can compare with the input that it is of; 64 hex digits."""
        return self._digest("fingerprint", fingerprint).hex()

    def _name(self, kind: str, *parts: str) -> str:
        digest = self._digest(kind, *parts)[:_NAME_BYTES]
        return f"{kind}-{''.join(_LETTERS[half] for byte in digest for half in (byte >> 4, byte & 15))}"

    def _digest(self, *parts: str) -> bytes:
        # Each with its length before it: no two lists of parts are the same text.
        texts = [part.encode("utf-8", "surrogatepass") for part in parts]
        return hmac.new(self.secret, b"".join(b"%d:%b" % (len(text), text) for text in texts), hashlib.sha256).digest()


def sealed(fingerprint: str, key: Key | None) -> str:
    """A fingerprint as it may be published: sealed where there is a key, else as it is."""
    return fingerprint if key is None else key.seal(fingerprint)
