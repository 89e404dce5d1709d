"""Says the seed of a campaign, and how to run a point that failed again."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from torture.campaign import SEED, SHARE


def pytest_report_header() -> str:
    return f"torture: seed {SEED}, {'short form' if SHARE is None else f'{SHARE:g} of the long form'}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        share = "" if SHARE is None else f"TORTURE={SHARE:g} "
        command = f"{share}TORTURE_SEED={SEED} python -m pytest '{item.nodeid}'"
        report.sections.append(("run this point again", command))
    return report
