"""A lab that publishes: through the real client, to the double, each test to a repo of its own."""

from __future__ import annotations

from pathlib import Path

from editions import Spot, contents, plan_slides
from her2_ihc_40x_builder.shards.files import Shard, Sides
from her2_ihc_40x_builder.shards.manifest import read_manifest
from hub_client import HubClient, Ran
from hub_double import HubDouble
from hub_store import Repo

SLIDES = plan_slides()


TOKEN = "hf_SecretOfTheLab"


#: One slide changed: another patch in place of its last.
CHANGED = {**SLIDES, "slide-1": [*SLIDES["slide-1"][:-1], Spot("slide-1_new", "1+", Sides("train", "test"), 77)]}


class Lab:
    """A publisher: a client, the double, and a repo of its own for each test."""

    def __init__(self, hub: HubDouble, client: HubClient, repo: str) -> None:
        self.hub, self.client, self.repo_id = hub, client, repo

    @property
    def repo(self) -> Repo:
        return self.hub.store.repos[self.repo_id]

    def arguments(self, folder: Path, version: str, *options: str) -> list[str | Path]:
        return ["publish", folder, "--repo", self.repo_id, "--version", version, "--workers", "1", *options]

    def publish(self, folder: Path, version: str, *options: str) -> Ran:
        return self.client.run(*self.arguments(folder, version, "--i-may-share-this", *options))

    def published(self, folder: Path, version: str, *options: str) -> Ran:
        done = self.publish(folder, version, *options)
        assert done.code == 0, done.err
        return done

    def sent_since(self, start: int) -> int:
        return sum(r.received for r in self.hub.requests[start:])


def shards_of(folder: Path) -> list[Shard]:
    return sorted(read_manifest(folder).shards)


def assert_holds(repo: Repo, revision: str, folder: Path) -> None:
    """A revision holds the folder's files, byte by byte, and nothing besides."""
    files = set(repo.resolve(revision).files) - {".gitattributes"}
    assert files == set(contents(folder))
    for path in files:
        assert repo.read(revision, path) == (folder / path).read_bytes(), path
