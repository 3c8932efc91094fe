"""Write requirements.lock and environment.yml from what is installed here.

    make lock

The lock holds every package that pyproject.toml asks for, directly or not, with its
exact version; what else lies in the environment is left out. A local version such as
``2.13.0+cpu`` is written without its suffix, so that any build of it will do.
"""

import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def direct() -> list[str]:
    """What pyproject.toml asks for, the tests' packages included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["dependencies"] + project["optional-dependencies"]["test"]


def pins(wanted: list[str]) -> list[str]:
    """Lines ``name==version`` of the wanted packages and all that they need."""
    waiting = [Requirement(text) for text in wanted]
    seen: set[tuple[str, frozenset[str]]] = set()
    found: dict[str, str] = {}
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in seen:
            continue
        seen.add((name, frozenset(requirement.extras)))
        package = metadata.distribution(requirement.name)
        found[name] = f"{package.name}=={package.version.split('+')[0]}"
        waiting += needs(package, requirement.extras)
    return sorted(found.values(), key=str.lower)


def needs(package: metadata.Distribution, extras: set[str]) -> list[Requirement]:
    """What a package needs on this machine, with some of its extras."""
    needed = [Requirement(text) for text in package.requires or []]
    return [
        r
        for r in needed
        if r.marker is None
        or any(r.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


def environment(pins: list[str]) -> str:
    """The same pins for conda users."""
    head = (
        "# Written by `make lock` from requirements.lock; do not edit.\n"
        "name: gatebook\nchannels: [conda-forge]\ndependencies:\n"
        "  - python=3.11\n  - pip\n  - pip:\n"
    )
    return head + "".join(f"      - {pin}\n" for pin in pins) + "      - -e .\n"


def main() -> None:
    """Write both files."""
    found = pins(direct())
    lock = "# Every version, written by `make lock`.\n" + "\n".join(found) + "\n"
    (ROOT / "requirements.lock").write_text(lock)
    (ROOT / "environment.yml").write_text(environment(found))
    print(f"{len(found)} packages in requirements.lock and environment.yml")


if __name__ == "__main__":
    main()
