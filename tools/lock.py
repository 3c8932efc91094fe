"""Write requirements.lock and environment.yml from what is installed here.

    make lock
    python tools/lock.py --check    # write nothing; fail if they would change

The lock holds every package that pyproject.toml asks for, directly or not, with its
exact version; what else lies in the environment is left out. A local version such as
``2.13.0+cpu`` is written without its suffix, so that any build of it will do.
"""

import difflib
import sys
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


def check(files: dict[str, str]) -> int:
    """Say what each file would gain and lose; 1 if anything."""
    code = 0
    for name, text in files.items():
        held = (ROOT / name).read_text().splitlines()
        for line in difflib.unified_diff(held, text.splitlines(), name, "here", n=0):
            print(line.rstrip())
            code = 1
    return code


def main() -> int:
    """Write both files, or compare them with what is installed."""
    found = pins(direct())
    lock = "# Every version, written by `make lock`.\n" + "\n".join(found) + "\n"
    files = {"requirements.lock": lock, "environment.yml": environment(found)}
    if "--check" in sys.argv[1:]:
        return check(files)
    for name, text in files.items():
        (ROOT / name).write_text(text)
    print(f"{len(found)} packages in requirements.lock and environment.yml")
    return 0


if __name__ == "__main__":
    sys.exit(main())
