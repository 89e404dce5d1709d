"""A running Hub, and two editions to publish there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from editions import write_edition
from hub_client import HubClient
from hub_double import HubDouble
from hub_lab import CHANGED, SLIDES, TOKEN, Lab


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HubDouble, HubClient]]:
    home = tmp_path_factory.mktemp("home") / "client"
    with HubDouble(token=TOKEN) as hub, HubClient(hub, home) as client:
        yield hub, client


@pytest.fixture
def lab(running: tuple[HubDouble, HubClient]) -> Iterator[Lab]:
    hub, client = running
    hub.faults.clear()
    hub.held.clear()
    hub.released.clear()
    yield Lab(hub, client, f"lab/data-{len(hub.store.repos)}")
    hub.released.set()
    hub.faults.clear()


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_edition(tmp_path_factory.mktemp("first") / "her2-ihc-40x", SLIDES)


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_edition(tmp_path_factory.mktemp("second") / "her2-ihc-40x", CHANGED)
