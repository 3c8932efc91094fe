"""Sweeps: many points of a page at once, on this machine's cores or on a cluster.

Dask brings what a pool of processes does not: workers on other machines, Slurm, and
points that go on elsewhere when a worker is lost.

Each point is the page itself, run through papermill by a worker of dask.distributed.
A list parameter may hold several values at one point, so points that a device can
train as one batch can be put together in `gatebook_book.sweep.grid` alone.
"""

import contextlib
import logging
import re
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from gatebook.errors import check_count, check_device, check_positive

from gatebook_book import need
from gatebook_book.machine import cores
from gatebook_book.pages.execute import KernelLost
from gatebook_book.paths import root
from gatebook_book.sweep.point import Order, Outcome, SweepPoint, run_point, stop

need("sweep", "distributed", "bokeh")

RETRIES = 2
"""How often a point is tried again after its worker or its kernel was lost."""

GRACE = 45.0
"""Seconds that points have to store their state after Ctrl-C."""

LOST = 60.0
"""Seconds that a worker of this machine has to come back after its process was killed;
then it is replaced. Dask's own 15 are too few for a busy machine, and it replaces none.
"""

ALONE = 180.0
"""Seconds without any worker on this machine after which a sweep ends."""

ADDRESS = re.compile(r"\w+://\S+:\d+")

# A worker that shared the terminal's process group would die of Ctrl-C at once, before
# its kernel has stored anything.
OWN_GROUP = "import os; hasattr(os, 'setpgid') and os.setpgid(0, 0)"


def sweep(
    points: list[SweepPoint],
    *,
    workers: int | None = None,
    threads: int = 1,
    scheduler: str | None = None,
    limit: float = 60.0,
    budget: float = float("inf"),
) -> dict[SweepPoint, Outcome]:
    """Run every point that is not finished, in their order.

    Arguments:
        points: as `gatebook_book.sweep.grid.points` makes them.
        workers: points that run at once on this machine; by default as many as its
            cores allow.
        threads: of each point's models. Small models gain nothing from more than one.
        scheduler: address of a dask scheduler whose workers see this folder under
            the same name; by default a cluster is started on this machine.
        limit: minutes without a sign of life, which is a line of progress or a
            finished cell, after which a point's kernel is killed.
        budget: seconds after which the sweep stops by itself.

    Returns:
        how each point ended. After Ctrl-C or at the budget's end some are
        ``"stopped"``: they have stored their state, and the same sweep goes on from
        there.

    Raises:
        ValueError: for a wrong number or address, or a device that is not here.
        OSError: if the scheduler cannot be reached.
    """
    check_count("threads", threads)
    check_positive("limit", limit)
    if scheduler is not None and not ADDRESS.fullmatch(scheduler):
        raise ValueError(f"scheduler is {scheduler!r}; allowed: tcp://host:8786")
    if workers is None:
        workers = max(1, cores() // threads)
    check_count("workers", workers)
    outcomes = {p: Outcome("found") for p in points if p.record()}
    waiting = [point for point in points if point not in outcomes]
    print(f"{len(points)} points, {len(outcomes)} finished before", flush=True)
    if not waiting:
        return outcomes
    if scheduler is None:
        for point in waiting:
            check_device("device", point.source.device(point.profile, point.given))
    order = Order(
        sweep=uuid.uuid4().hex,
        folder=str(root()),
        silence=60 * limit,
        environment={"OMP_NUM_THREADS": str(threads)},
    )
    workers = min(workers, len(waiting))
    with _client(scheduler, workers) as client:
        print(f"dashboard: {client.dashboard_link}", flush=True)
        return outcomes | _Run(client, order, waiting).finish(budget)


@contextlib.contextmanager
def _client(scheduler: str | None, workers: int) -> Iterator[Any]:
    """A client of a running scheduler, or of a new one with workers on this machine."""
    # Here, since it takes a second that no other command has to wait.
    import dask
    from distributed import Client

    if scheduler:
        with Client(scheduler, timeout=20) as client:
            yield client
        return
    settings = {
        "distributed.scheduler.allowed-failures": RETRIES,
        "distributed.deploy.lost-worker-timeout": f"{LOST} s",
    }
    with (
        dask.config.set(settings),
        tempfile.TemporaryDirectory() as scratch,
        _cluster(workers, scratch) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _cluster(workers: int, scratch: str) -> Any:
    """Workers on this machine, all of them up."""
    from distributed import LocalCluster

    try:
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,  # the kernels hold the memory, which it does not see
            dashboard_address="127.0.0.1:0",
            local_directory=scratch,
            silence_logs=logging.CRITICAL,
            preload=[OWN_GROUP],
        )
    except RuntimeError as error:
        raise OSError(
            f"one of {workers} workers died while it started; the same command tries "
            "it again"
        ) from error


class _Run:
    """The points of one sweep on their way through a cluster.

    Arguments:
        client: of the cluster.
        order: what the workers have to know.
        points: to run.
    """

    def __init__(self, client: Any, order: Order, points: list[SweepPoint]):
        self.client, self.order = client, order
        self.outcomes: dict[SweepPoint, Outcome] = {}
        self.futures: dict[Any, SweepPoint] = {}
        self.busy: dict[SweepPoint, float] = {}
        self.status = _Status(len(points))
        self.alive = time.monotonic()
        for point in points:
            self._submit(point)

    def _submit(self, point: SweepPoint) -> None:
        future = self.client.submit(
            run_point, point, self.order, pure=False, retries=RETRIES
        )
        self.futures[future] = point

    def finish(self, budget: float) -> dict[SweepPoint, Outcome]:
        """Wait for all points; when stopped, for those that run to be stored."""
        try:
            self._wait(budget)
            if self.futures or self.busy:
                self._stop("the budget is spent")
        except KeyboardInterrupt:
            self._stop("stopping")
        for point in [*self.futures.values(), *self.busy]:
            self.outcomes[point] = Outcome("stopped")
        return self.outcomes

    def _stop(self, why: str) -> None:
        """Let what runs store its state; what waits does not begin."""
        self.status.say(f"{why}: what runs stores its state (again: at once)")
        self.client.run(stop, self.order.sweep)
        self.outcomes |= dict.fromkeys(self.busy, Outcome("stopped"))
        self.busy.clear()
        self._wait(GRACE)

    def _wait(self, seconds: float) -> None:
        from distributed import wait

        end = time.monotonic() + seconds
        while (self.futures or self.busy) and time.monotonic() < end:
            if self.futures:
                with contextlib.suppress(TimeoutError):
                    wait(list(self.futures), timeout=1, return_when="FIRST_COMPLETED")
            else:
                time.sleep(1)
            for future in [f for f in self.futures if f.done()]:
                self._note(self.futures.pop(future), future)
            self._try_busy_again()
            self._replace_lost_workers()
            self.status.show(self._running)

    def _note(self, point: SweepPoint, future: Any) -> None:
        outcome = _outcome(future)
        if outcome.status == "busy":  # of another sweep; it may leave it unfinished
            self.busy[point] = time.monotonic() + 2
            return
        self.outcomes[point] = outcome
        self.status.ended(point, outcome)

    def _try_busy_again(self) -> None:
        for point, when in list(self.busy.items()):
            if time.monotonic() > when:
                del self.busy[point]
                self._submit(point)

    def _replace_lost_workers(self) -> None:
        """On this machine, start what dask has given up, or end if none comes back.

        Those of a scheduler elsewhere come and go, and are its own affair.
        """
        cluster = self.client.cluster
        if cluster is None or cluster.scheduler_info["workers"]:
            self.alive = time.monotonic()
        if cluster is None:
            return
        if time.monotonic() - self.alive > ALONE:
            raise OSError(
                f"no worker was alive for {ALONE:.0f} s and no new one started; the "
                "same command goes on from there"
            )
        if len(cluster.workers) < len(cluster.worker_spec):
            cluster.scale(len(cluster.worker_spec))

    def _running(self) -> str:
        """How many points are with how many workers."""
        with contextlib.suppress(OSError, TimeoutError):
            at_work = self.client.processing()
            return f"{sum(map(len, at_work.values()))} on {len(at_work)} workers"
        return "the scheduler does not answer"


def _outcome(future: Any) -> Outcome:
    """What a future came to; whatever was lost with a worker is a failure too."""
    from distributed import CancelledError, KilledWorker

    try:
        return future.result()
    except KilledWorker:
        return Outcome("failed", 0.0, f"{RETRIES + 1} workers died while at it")
    except CancelledError:
        return Outcome("failed", 0.0, "the scheduler went away")
    except KernelLost as error:  # tried again already; the others go on
        return Outcome("failed", 0.0, f"{error}; the same command goes on from there")
    except Exception as error:
        return Outcome("failed", 0.0, str(error) or type(error).__name__)


class _Status:
    """Lines of progress: one for each point that ends, one per minute for the rest."""

    def __init__(self, total: int):
        self.total, self.counts = total, Counter[str]()
        self.started = self.shown = time.monotonic()

    def say(self, line: str) -> None:
        """Print a line at once, even where the output is not a terminal."""
        print(line, flush=True)

    def ended(self, point: SweepPoint, outcome: Outcome) -> None:
        """Tell of a point that ended, and of the time that is left."""
        self.counts[outcome.status] += 1
        words = [f"[{self.ended_count}/{self.total}] {point.label}: {outcome.status}"]
        if outcome.seconds:
            words[0] += f" after {outcome.seconds:.0f} s"
        if outcome.message:
            words[0] += f": {outcome.message}"
        self.say(" · ".join(words + self._left()))
        self.shown = time.monotonic()

    @property
    def ended_count(self) -> int:
        """Points that are no longer on their way."""
        return sum(self.counts.values())

    def show(self, running: Callable[[], str]) -> None:
        """Once a minute, say what goes on."""
        now = time.monotonic()
        if now - self.shown < 60:
            return
        self.shown = now
        gone = f"{(now - self.started) / 60:.0f} min gone"
        words = [f"{self.ended_count} of {self.total} points, {running()}"]
        self.say(" · ".join([*words, gone, *self._left()]))

    def _left(self) -> list[str]:
        """The time left, from the pace so far; nothing before a point is done."""
        done, rest = self.counts["done"], self.total - self.ended_count
        if not done or not rest:
            return []
        seconds = (time.monotonic() - self.started) / self.ended_count * rest
        left = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
        return [f"about {left} left"]


def report(outcomes: dict[SweepPoint, Outcome]) -> int:
    """Say how a sweep ended.

    Returns:
        the exit code: 0 if all points are finished, 1 if one failed, else 130, as
        after Ctrl-C.
    """
    counts = Counter(outcome.status for outcome in outcomes.values())
    print(", ".join(f"{n} {status}" for status, n in sorted(counts.items())))
    for point, outcome in outcomes.items():
        if outcome.status == "failed":
            print(f"failed: {point.label}: {outcome.message}", file=sys.stderr)
    if counts["failed"]:
        return 1
    return 130 if counts["stopped"] else 0  # the command line says that it goes on
