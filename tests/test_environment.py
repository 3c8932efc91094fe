"""One environment, written in files that must agree."""

import re
import runpy
import tomllib
from importlib import metadata

import pytest
import yaml
from gatebook_book.paths import root
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((root() / "pyproject.toml").read_text())["project"]


def requirements(name: str) -> list[Requirement]:
    """The lines of a lock file, without their hashes."""
    lines = (root() / name).read_text().splitlines()
    pins = [line.rstrip("\\ ") for line in lines if re.match(r"[a-zA-Z0-9]", line)]
    return [Requirement(pin) for pin in pins]


LOCK = [*requirements("requirements.lock"), *requirements("torch.lock")]
HERE = {
    canonicalize_name(r.name): r
    for r in LOCK
    if r.marker is None or r.marker.evaluate()
}
"""What the lock asks for on this machine."""


def of_cuda(requirement: Requirement) -> bool:
    return requirement.name.startswith(("nvidia-", "cuda-"))


def extras(*names: str) -> list[Requirement]:
    """Direct requirements of the base and some extras, those in them included."""
    texts = [*PROJECT["dependencies"]]
    for name in names:
        texts += PROJECT["optional-dependencies"][name]
    found = []
    for requirement in map(Requirement, texts):
        own = requirement.name == "gatebook"
        found += extras(*sorted(requirement.extras)) if own else [requirement]
    return found


def test_conda_users_get_the_same_versions():
    environment = yaml.safe_load((root() / "environment.yml").read_text())
    pins = environment["dependencies"][-1]["pip"]
    assert pins[-1] == "-e ."
    wanted = {str(r) for r in LOCK if not of_cuda(r)}
    assert {str(Requirement(pin)) for pin in pins[:-1]} == wanted


def test_the_lock_satisfies_every_direct_dependency():
    for requirement in extras("test"):
        if requirement.marker is None or requirement.marker.evaluate():
            (pin,) = HERE[canonicalize_name(requirement.name)].specifier
            assert requirement.specifier.contains(pin.version), requirement


def test_what_is_installed_is_what_the_lock_says():
    for name, requirement in HERE.items():
        if not of_cuda(requirement):  # not with every build of torch
            version = metadata.version(name).split("+")[0]
            assert requirement.specifier.contains(version), (name, version)


def test_the_lock_holds_all_that_an_installed_package_needs():
    for name in HERE:
        try:
            needed = map(Requirement, metadata.requires(name) or [])
        except metadata.PackageNotFoundError:  # of CUDA
            continue
        for requirement in needed:
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                assert canonicalize_name(requirement.name) in HERE, (name, requirement)


def test_every_package_but_torch_has_hashes():
    text = (root() / "requirements.lock").read_text()
    blocks = re.split(r"^(?=[a-zA-Z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(blocks) > 200
    assert all("--hash=sha256:" in block for block in blocks)


def test_torch_is_pinned_without_a_build_and_cuda_beside_it():
    lines = (root() / "torch.lock").read_text().splitlines()
    assert "torch==2.13.0" in lines
    # What torch's build on PyPI needs floats nowhere.
    assert sum(line.startswith(("nvidia-", "cuda-")) for line in lines) == 18


def test_the_library_takes_ranges():
    for requirement in map(Requirement, PROJECT["dependencies"]):
        assert [s.operator for s in requirement.specifier] == [">="], requirement
    assert PROJECT["requires-python"] == ">=3.10"


def test_every_dependency_says_why():
    text = (root() / "pyproject.toml").read_text()
    block = text.split("[project.scripts]")[0].split("dependencies = [", 1)[1]
    lines = [x for x in block.splitlines() if re.match(r"\s*(\w+ = \[)?\"", x)]
    assert len(lines) > 40
    assert all("#" in line for line in lines)


@pytest.mark.parametrize("name", ["requirements.lock", "torch.lock"])
def test_every_pin_is_exact(name):
    for requirement in requirements(name):
        assert [s.operator for s in requirement.specifier] == ["=="], requirement


LOCK_OF_UV = """\
numpy==2.4.6 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
nvidia-nvtx==13.0.85 ; sys_platform == 'linux' \\
    --hash=sha256:cc
torch==2.13.0 \\
    --hash=sha256:dd
"""


def test_torch_and_its_cuda_are_parted_from_the_rest():
    tool = runpy.run_path(str(root() / "tools/lock.py"))
    files = tool["files"](LOCK_OF_UV)
    assert files["requirements.lock"] == tool["HEAD"] + LOCK_OF_UV.split("nvidia")[0]
    pins = "nvidia-nvtx==13.0.85 ; sys_platform == 'linux'\ntorch==2.13.0\n"
    assert files["torch.lock"] == tool["HEAD"] + pins
    environment = yaml.safe_load(files["environment.yml"])
    assert environment["dependencies"][-1] == {
        "pip": ["numpy==2.4.6", "torch==2.13.0", "-e ."]
    }


def test_a_lock_that_would_change_is_refused_and_left_alone(capsys):
    tool = runpy.run_path(str(root() / "tools/lock.py"))
    held = (root() / "torch.lock").read_text()
    assert tool["check"]({"torch.lock": held}) == 0
    newer = held.replace("torch==2.13.0", "torch==9.0.0")
    assert tool["check"]({"torch.lock": newer}) == 1
    assert "-torch==2.13.0\n+torch==9.0.0" in capsys.readouterr().out
    assert (root() / "torch.lock").read_text() == held
