"""What versions of a data set the Hub has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from . import remote
from .changes import Version, versions_among


@dataclass(frozen=True)
class PublishedVersion:
    """A version on the Hub; patches and digest are None where its commit holds no manifest of ours."""

    version: Version
    commit: str
    date: datetime | None
    patches: int | None
    digest: str | None


def list_versions(repo: str) -> list[PublishedVersion]:
    """The versions of a repo, newest first.

    Raises:
        HubError: there is no such repo, or no answer.
    """
    tags = remote.read_tags(repo)
    dates: dict[str, datetime] = {}
    found = []
    for version in reversed(versions_among(tags)):
        commit = tags[version.tag]
        if commit not in dates:
            dates |= remote.commit_dates(repo, commit)
        manifest = remote.read_snapshot(repo, commit).manifest
        patches, digest = (manifest.rows, manifest.digest) if manifest else (None, None)
        found.append(PublishedVersion(version, commit, dates.get(commit), patches, digest))
    return found
