"""Write requirements.lock and environment.yml from what is installed here.

    make lock

The lock holds every package with its exact version. A local version such as
``2.13.0+cpu`` is written without its suffix, so that any build of it will do.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_OURS = {"gatebook", "pip", "setuptools", "wheel"}


def installed() -> list[str]:
    """Lines ``name==version``, sorted by name."""
    command = [sys.executable, "-m", "pip", "list", "--format=freeze"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    pins = [line.split("+")[0] for line in lines.splitlines()]
    return sorted(
        (pin for pin in pins if pin.split("==")[0].lower() not in NOT_OURS),
        key=str.lower,
    )


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
    pins = installed()
    lock = "# Every version, written by `make lock`.\n" + "\n".join(pins) + "\n"
    (ROOT / "requirements.lock").write_text(lock)
    (ROOT / "environment.yml").write_text(environment(pins))
    print(f"{len(pins)} packages in requirements.lock and environment.yml")


if __name__ == "__main__":
    main()
