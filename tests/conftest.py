"""Every annotation of the library is checked while the tests run."""

import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator

import beartype
import jaxtyping
from jaxtyping import install_import_hook

# An int will do for a float, as type checkers have it (PEP 484). The hook wants the
# checker by a name that can be imported.
beartype.tower = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
# Before anything imports gatebook.
install_import_hook(["gatebook", "gatebook_book"], "beartype.tower")

# A shell starts background jobs with Ctrl-C ignored, and children inherit that; some
# tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)

import torch  # noqa: E402

torch.set_num_threads(1)

# Read when Triton is imported, which torch's own tools may do before any test.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

import pytest  # noqa: E402
from xdist.remote import Producer  # noqa: E402
from xdist.scheduler import LoadFileScheduling  # noqa: E402


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """Every test draws the same numbers whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture
def unchecked(monkeypatch):
    """The library as users have it: nothing checks its annotations."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def offline(monkeypatch):
    """A machine on which any attempt to connect fails the test."""

    def connect(*args, **kwargs):
        raise AssertionError(f"connected to {args}")

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


class FilesTogether(LoadFileScheduling):
    """A file's tests stay on one core, and all that need the built site on another.

    Otherwise fixtures that take long would be made once on each, and two builds would
    write to one folder.
    """

    def _split_scope(self, nodeid: str) -> str:
        inside = nodeid.startswith("tests/browser/")
        return "tests/browser" if inside else super()._split_scope(nodeid)


# Not by --dist loadgroup: pytest-xdist 3.8 writes a test's group into its name, which
# pytest 9.2 does not let it do (pytest-xdist's issue 1386).
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesTogether:
    """How the tests are spread over the cores."""
    return FilesTogether(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """The last line of all says what was not tested, and why."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and reporter.stats.get("skipped"):
        print(not_tested(reporter.stats["skipped"]))


def not_tested(skipped: list[pytest.TestReport]) -> str:
    """How many tests were skipped, by reason, the most frequent one first."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in skipped
        if isinstance(report.longrepr, tuple)
    )
    parts = [f"{count} ({reason})" for reason, count in reasons.most_common()]
    return f"not tested: {', '.join(parts)}"
