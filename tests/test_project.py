"""The files that describe the project agree with one another: requirements, lowest versions, citation."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from nif import __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def needed(requirements: list[str]) -> Iterator[Requirement]:
    """With those of the extras that are named among them."""
    for requirement in map(Requirement, requirements):
        if requirement.name == PROJECT["name"]:
            for extra in sorted(requirement.extras):
                yield from needed(PROJECT["optional-dependencies"][extra])
        else:
            yield requirement


def test_lower_bounds_are_those_that_the_tests_are_run_with() -> None:
    claimed = {
        requirement.name: str(requirement.specifier)
        for requirement in needed([*PROJECT["dependencies"], f"{PROJECT['name']}[test]"])
    }
    pinned = {
        requirement.name: str(requirement.specifier)
        for line in (ROOT / "constraints-lowest.txt").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
        for requirement in [Requirement(line)]
    }
    assert pinned == {name: bound.replace(">=", "==") for name, bound in claimed.items()}


@pytest.mark.parametrize("extra", PROJECT["optional-dependencies"])
def test_every_requirement_says_its_lowest_version(extra: str) -> None:
    for requirement in needed(PROJECT["optional-dependencies"][extra]):
        assert [each.operator for each in requirement.specifier] == [">="], requirement


def test_the_citation_is_of_this_version() -> None:
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
