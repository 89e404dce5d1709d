"""Chance that repeats: a number drawn from a seed and what a thing is, never from its name or its place in a list."""

from __future__ import annotations

import hashlib

from ..geometry import Box


def draw(seed: int, *parts: str | Box) -> float:
    """Return a number in [0, 1) that depends on the arguments alone, evenly spread over different arguments.

    It is the first 53 bits of SHA-256 over the seed and the parts, each with its length before it, so that it is the
    same on every machine and in every version.

    Args:
        seed: the build's seed.
        parts: what is drawn for: first its purpose, so that two draws for one slide are independent, then content keys.
    """
    digest = hashlib.sha256(str(seed).encode())
    for part in parts:
        text = part if isinstance(part, str) else f"{part.x},{part.y},{part.width},{part.height}"
        data = text.encode("utf-8", "surrogatepass")
        digest.update(b"|%d|" % len(data) + data)
    return (int.from_bytes(digest.digest()[:8], "big") >> 11) / 2**53
