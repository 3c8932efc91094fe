"""One point of a sweep: a page at one set of values, executed at most once."""

import json
import os
import platform
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from gatebook.files import write_atomic
from gatebook.random import derive_seed

from gatebook_book.context import Context
from gatebook_book.pages.execute import KernelLost, PageError, context_of, execute
from gatebook_book.pages.pages import Page, find
from gatebook_book.paths import root
from gatebook_book.runs.provenance import commit
from gatebook_book.runs.store import LIVE, STORED, read


@dataclass(frozen=True, eq=False)
class SweepPoint:
    """A page with one value for each parameter of the grid.

    Arguments:
        page: its name.
        profile: the set of parameters to start from.
        given: parameters as typed, over those of the profile.
        label: what sets it apart from the other points, ``"gate=UR seed=1"``.
    """

    page: str
    profile: str
    given: dict[str, str]
    label: str

    @cached_property
    def source(self) -> Page:
        """The page itself."""
        return find(self.page)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """Parameters by name, checked."""
        return self.source.effective(self.profile, self.given)

    @property
    def key(self) -> str:
        """A sum of the parameters, equal however they were typed."""
        return f"{derive_seed(sorted(self.parameters.items())):016x}"

    def file(self, ending: str) -> Path:
        """The point's notebook, record, lock or progress, all side by side."""
        folder = root() / "_build" / "runs" / self.page / self.profile
        return folder / f"{self.key}.{ending}"

    @property
    def context(self) -> Context:
        """Where its results go: the profile's own if they are part of it."""
        context = context_of(self.source, self.profile, self.parameters)
        if context.results != STORED:
            context = replace(context, results=LIVE, profile=self.profile)
        return replace(
            context, progress=str(self.file("log")), notes=str(self.file("runs"))
        )

    def record(self) -> dict[str, Any] | None:
        """What was noted when the point was finished, if that still counts.

        Its results are all whole, and either kept in git or made by today's code.
        """
        try:
            noted = json.loads(self.file("json").read_text(encoding="utf-8"))
            for name in noted["results"]:
                read(root() / name)  # a file that was cut short is not a result
            return noted if noted["code"] == self.context.code else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True)
class Outcome:
    """How a point ended.

    Arguments:
        status: ``"done"``; ``"found"`` if it was finished before; ``"busy"`` if
            another process has it; ``"stopped"``; or ``"failed"``.
        seconds: that it took.
        message: why it failed.
    """

    status: str
    seconds: float = 0.0
    message: str = ""


_stops: defaultdict[str, threading.Event] = defaultdict(threading.Event)
"""Of each sweep that this process works for, whether it is being stopped."""


def stop(sweep: str) -> None:
    """Stop a sweep's points in this process; those that come later do not start."""
    _stops[sweep].set()


@dataclass(frozen=True)
class Order:
    """What a worker has to know besides the point.

    Arguments:
        sweep: the sweep's own id.
        folder: the checkout, which all machines see under the same name.
        silence: seconds without a sign of life after which a kernel is killed.
        environment: more of the kernel's environment.
    """

    sweep: str
    folder: str
    silence: float
    environment: dict[str, str] = field(default_factory=dict)


def run_point(point: SweepPoint, order: Order) -> Outcome:
    """Execute a point, unless it is finished or another process is at it.

    Raises:
        KernelLost: if its kernel dies or hangs. Another try may do better: it goes on
            from the last checkpoint.
    """
    os.environ["GATEBOOK_ROOT"] = order.folder
    if _stops[order.sweep].is_set():
        return Outcome("stopped")
    started = time.monotonic()
    try:
        status = _alone(point, order)
    except KernelLost:
        raise
    except KeyboardInterrupt:
        status = "stopped"
    except (PageError, ValueError, OSError) as error:
        return Outcome("failed", time.monotonic() - started, str(error))
    return Outcome(status, time.monotonic() - started)


def _alone(point: SweepPoint, order: Order) -> str:
    if point.record():
        return "found"
    point.file("lock").parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(point.file("lock"), timeout=0):
            if point.record():
                return "found"
            _execute(point, order)
            return "done"
    except Timeout:
        return "busy"


def _execute(point: SweepPoint, order: Order) -> None:
    for ending in ("log", "runs"):
        point.file(ending).write_text("", encoding="utf-8")
    context, started = point.context, time.time()
    execute(
        point.source,
        point.parameters,
        point.file("ipynb"),
        context,
        settings=order.environment,
        silence=order.silence,
        stop=_stops[order.sweep],
    )
    results = sorted(set(point.file("runs").read_text(encoding="utf-8").splitlines()))
    record = {
        "page": point.page,
        "profile": point.profile,
        "label": point.label,
        "parameters": point.parameters,
        "results": [os.path.relpath(name, root()) for name in results],
        "code": context.code,
        "commit": commit(),
        "machine": platform.node(),
        "seconds": round(time.time() - started, 1),
    }
    write_atomic(point.file("json"), json.dumps(record, indent=1).encode())
    point.file("runs").unlink()
