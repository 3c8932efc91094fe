"""Write the lock: every version that the book is made with, for all platforms.

    make lock
    make lock UPGRADE=--upgrade     # all packages but torch at their newest
    python tools/lock.py --check    # write nothing; fail if it would change

uv resolves what pyproject.toml asks for, and keeps the versions that are locked
already. Three files hold the result:

- ``requirements.lock``: all packages but torch, with hashes.
- ``torch.lock``: torch and the CUDA libraries that its build on PyPI needs. It has no
  hashes: torch 2.13.0 comes in several builds (CUDA, CPU only, a vendor's own), and
  any of them will do.
- ``environment.yml``: the same versions for conda users.
"""

import difflib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAD = "# Written by `make lock`; do not edit.\n"
COMMAND = (
    *(sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml"),
    *("--extra", "test", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-header", "--no-annotate", "--quiet"),
)
OF_TORCH = re.compile(r"(torch|(nvidia|cuda)-[\w-]+)==")


def resolved(*options: str) -> str:
    """The lock as uv writes it, from the one that is there."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "all.lock"
        held = [ROOT / name for name in ("requirements.lock", "torch.lock")]
        target.write_text("".join(f.read_text() for f in held if f.is_file()))
        command = [*COMMAND, *options, "--output-file", str(target)]
        subprocess.run(command, cwd=ROOT, check=True)
        return target.read_text()


def files(lock: str) -> dict[str, str]:
    """What each file is to hold."""
    blocks = re.findall(r"^\S.*\n(?:\s+.*\n)*", lock, re.MULTILINE)
    torch = [pin(block) for block in blocks if OF_TORCH.match(block)]
    others = [block for block in blocks if not OF_TORCH.match(block)]
    return {
        "requirements.lock": HEAD + "".join(others),
        "torch.lock": HEAD + "".join(f"{line}\n" for line in torch),
        "environment.yml": environment([*map(pin, others), *torch]),
    }


def pin(block: str) -> str:
    """A package's version, and where it is needed, without its hashes."""
    return block.splitlines()[0].removesuffix("\\").strip()


def environment(pins: list[str]) -> str:
    """The versions for conda users; torch brings its CUDA libraries itself."""
    wanted = [p for p in pins if p.startswith("torch==") or not OF_TORCH.match(p)]
    head = (
        "name: gatebook\nchannels: [conda-forge]\ndependencies:\n"
        "  - python=3.11\n  - pip\n  - pip:\n"
    )
    return HEAD + head + "".join(f"      - {p}\n" for p in wanted) + "      - -e .\n"


def check(wanted: dict[str, str]) -> int:
    """Print what each file would gain and lose; 1 if anything."""
    code = 0
    for name, text in wanted.items():
        held = (ROOT / name).read_text().splitlines()
        for line in difflib.unified_diff(held, text.splitlines(), name, "uv", n=0):
            print(line.rstrip())
            code = 1
    return code


def main() -> int:
    """Write the files, or compare them with what uv resolves."""
    options = sys.argv[1:]
    if options == ["--check"]:
        return check(files(resolved()))
    wanted = files(resolved(*options))
    for name, text in wanted.items():
        (ROOT / name).write_text(text)
    print(f"{wanted['environment.yml'].count('==')} packages in requirements.lock")
    return 0


if __name__ == "__main__":
    sys.exit(main())
