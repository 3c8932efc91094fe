"""One environment, written in three places that must agree."""

import re
import runpy
import sys
import tomllib
from importlib import metadata

import pytest
import yaml
from gatebook_book.paths import root
from packaging.requirements import Requirement


def lock() -> dict[str, str]:
    lines = (root() / "requirements.lock").read_text().splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {name(package): version for package, version in pins}


def name(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def test_conda_users_get_the_same_versions():
    environment = yaml.safe_load((root() / "environment.yml").read_text())
    pins = environment["dependencies"][-1]["pip"]
    assert pins[-1] == "-e ."
    assert {name(p.split("==")[0]): p.split("==")[1] for p in pins[:-1]} == lock()


def test_the_lock_satisfies_every_direct_dependency():
    project = tomllib.loads((root() / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["test"]
    for text in wanted:
        requirement = Requirement(text)
        version = lock()[name(requirement.name)]
        assert requirement.specifier.contains(version), text


def test_what_is_installed_is_what_the_lock_says():
    for package, version in lock().items():
        assert metadata.version(package).split("+")[0] == version, package


@pytest.mark.skipif(sys.platform != "linux", reason="the lock is written on Linux")
def test_the_lock_holds_all_that_is_needed_and_nothing_else():
    tool = runpy.run_path(str(root() / "tools" / "lock.py"))
    needed = tool["pins"](tool["direct"]())
    assert {name(p.split("==")[0]): p.split("==")[1] for p in needed} == lock()


def test_torch_is_pinned_without_a_build():
    assert lock()["torch"] == "2.13.0"


def test_every_dependency_says_why():
    text = (root() / "pyproject.toml").read_text()
    block = text.split("[project.scripts]")[0].split("dependencies = [", 1)[1]
    lines = [x for x in block.splitlines() if x.strip().startswith('"')]
    assert all("#" in line for line in lines)
