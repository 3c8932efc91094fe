"""The results store: one JSON file a run, written whole or not at all."""

import contextlib
import datetime
import functools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from filelock import FileLock, Timeout
from gatebook.errors import check_choice, check_device, suggest
from gatebook.files import write_atomic
from gatebook.random import derive_seed

from gatebook_book.paths import root
from gatebook_book.runs.progress import show_progress

Run = dict[str, Any]
"""A stored run: page, name, seed, parameters, metrics, curves, provenance."""

STORED = "data/results"
"""Where runs that are kept in git lie, below the root."""

CODE = "code"
"""The file in a folder below ``_build`` that says whose runs there count: those with
this sum in their names."""

ENDINGS = (".json", ".safetensors", ".lock")
"""Of the files of one run: itself, its checkpoint, and its lock, which comes last."""

FRESH = "_build/fresh"
"""Where runs lie that somebody makes again beside them."""


@dataclass(frozen=True)
class Store:
    """The runs of one page at one profile.

    Arguments:
        page: as in the table of contents, ``"memory/copy"``.
        profile: the profile's name; by default what the runner set, else "live".
        folder: where pages' results lie; by default what the runner set, else
            ``_build/results`` for a page that is run by hand.
        device: where the runs' models live.
    """

    page: str
    profile: str | None = None
    folder: Path | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_device("device", self.device)

    @property
    def path(self) -> Path:
        """The folder of these runs."""
        profile = self.profile or os.environ.get("GATEBOOK_PROFILE", "live")
        folder = self.folder or Path(
            os.environ.get("GATEBOOK_RESULTS", root() / "_build" / "results")
        )
        return folder / self.page / profile

    @property
    def code(self) -> str:
        """A sum of the page's code, where the runner says that runs depend on it."""
        return "" if self.folder else os.environ.get("GATEBOOK_CODE", "")

    def file(self, name: str, seed: int, parameters: dict[str, Any]) -> Path:
        """A run's file: method, seed, a sum of its parameters, and one of the code."""
        if not name or set(name) & set("/\\"):
            raise ValueError(f"name is {name!r}; allowed: a method's, without a slash")
        key = f"{derive_seed(sorted(parameters.items())):016x}"[-8:]
        words = [name, f"seed{seed}", key, *filter(None, [self.code])]
        return self.path / f"{'-'.join(words)}.json"

    def run(
        self,
        name: str,
        seed: int,
        parameters: dict[str, Any],
        work: Callable[[Path], Run],
    ) -> Run:
        """The stored run if there is one, else do the work and store it.

        Of two processes that want the same run, one does the work and the other
        waits for it. If the first is killed, the other goes on from its checkpoint.

        Arguments:
            name: the method, as on the pages: ``"UR"``.
            seed: the run's seed.
            parameters: all that decides the run's numbers.
            work: gets the path for a checkpoint and returns the fields of the run:
                ``status``, ``metrics``, ``curves`` and whatever a page draws.

        Returns:
            the run with its provenance, as a later reading gives it.
        """
        wanted = [(name, seed, parameters)]
        return self.run_many(wanted, lambda missing: {0: work(missing[0])})[0]

    def run_many(
        self,
        wanted: Sequence[tuple[str, int, dict[str, Any]]],
        work: Callable[[dict[int, Path]], dict[int, Run]],
    ) -> list[Run]:
        """As `run` for several runs that one piece of work makes side by side.

        Arguments:
            wanted: name, seed and parameters of each.
            work: gets the places in ``wanted`` of runs that are not stored, each with
                the path for its checkpoint, and returns the fields of those runs.
        """
        files = dict(enumerate(self.file(*each) for each in wanted))
        runs = _stored(files)
        with contextlib.ExitStack() as locks:
            # In order, so that no two processes each hold what the other waits for.
            for file in sorted({files[k] for k in files.keys() - runs.keys()}):
                locks.enter_context(alone(file))
            # Another process may have made some of them meanwhile.
            runs |= _stored({k: f for k, f in files.items() if k not in runs})
            for name, seed, _ in (wanted[k] for k in sorted(runs)):
                show_progress(f"{name} seed {seed}: stored before, not repeated")
            missing = {k: f for k, f in files.items() if k not in runs}
            if missing:
                runs |= self._make(wanted, missing, work)
        for file in files.values():
            _tell_runner(file)
        return [runs[place] for place in files]

    def _make(
        self,
        wanted: Sequence[tuple[str, int, dict[str, Any]]],
        files: dict[int, Path],
        work: Callable[[dict[int, Path]], dict[int, Run]],
    ) -> dict[int, Run]:
        commit()  # remembered now: the checkout may be edited while the run goes on
        started = datetime.datetime.now(datetime.timezone.utc)
        checkpoints = {k: file.with_suffix(".safetensors") for k, file in files.items()}
        made = work(checkpoints)
        seconds = (datetime.datetime.now(started.tzinfo) - started).total_seconds()
        runs = {}
        for place, file in files.items():
            name, seed, parameters = wanted[place]
            run = {
                "page": self.page,
                "profile": self.path.name,
                "name": name,
                "seed": seed,
                "parameters": parameters,
                **made[place],
                "seconds": round(made[place].get("seconds", seconds), 1),
                **provenance(self.device),
            }
            text = json.dumps(_finite(run), indent=None, allow_nan=False) + "\n"
            runs[place] = _parsed(text, file)  # before it is stored: it may lack some
            write_atomic(file, text.encode())
            checkpoints[place].unlink(missing_ok=True)
        return runs

    def load(self) -> list[Run]:
        """All runs of this page and profile, by name and seed.

        Where the folder says which code was run last, only the runs of that code.
        """
        mark = self.path / CODE
        ending = f"-{mark.read_text()}.json" if mark.exists() else ".json"
        files = sorted(self.path.glob(f"*{ending}"))
        runs = _stored(dict(enumerate(files))).values()
        return sorted(runs, key=lambda run: (run["name"], run["seed"]))


def _stored(files: dict[int, Path]) -> dict[int, Run]:
    """Those that are there; read without a look before, since a file may go."""
    runs = {}
    for place, file in files.items():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            runs[place] = read(file)
    return runs


def discard(file: Path) -> None:
    """Remove a run and its checkpoint, unless a process is at it."""
    with contextlib.suppress(Timeout), FileLock(file.with_suffix(".lock"), timeout=0):
        for ending in ENDINGS:
            file.with_suffix(ending).unlink(missing_ok=True)


@contextlib.contextmanager
def alone(file: Path) -> Iterator[None]:
    """Keep other processes from making the same file meanwhile.

    The system frees the lock of a process that is killed.

    Raises:
        OSError: if the folder cannot be written, with the system's reason.
    """
    path = file.with_suffix(".lock")
    lock = FileLock(path)
    _enter(lock, path)
    try:
        yield
    finally:
        # Removed while it is held: who waits then finds it gone, and makes a new one.
        path.unlink(missing_ok=True)
        lock.release()


def _enter(lock: FileLock, path: Path) -> None:
    """Wait for a lock, and say so every minute."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=60)
            return
        except Timeout:
            show_progress(f"waiting for the process that makes {path.stem}")
        except OSError as error:
            reason = f"cannot write: {error.strerror}"
            raise OSError(error.errno, reason, str(path)) from error


def _tell_runner(file: Path) -> None:
    """Note the file of a run that a page used, for a sweep to know its results by."""
    if name := os.environ.get("GATEBOOK_RUNS"):
        with open(name, "a") as notes:
            notes.write(f"{file}\n")


def load(page: str, profile: str) -> list[Run]:
    """The runs kept in git for a page; an empty list where none was stored."""
    return Store(page, profile, kept()).load()


def kept() -> Path:
    """The folder of runs that pages draw: those in git, or of ``run --fresh``."""
    return root() / os.environ.get("GATEBOOK_KEPT", STORED)


def read(file: Path) -> Run:
    """One stored run; ``None`` in a curve stands for a value that was not finite.

    Raises:
        ValueError: if the file is no stored run, naming it.
    """
    return _parsed(file.read_bytes(), file)


def _parsed(text: str | bytes, file: Path) -> Run:
    try:
        run = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"result file {file} is not JSON: {error}") from error
    if not isinstance(run, dict):
        raise ValueError(f"result file {file} is {run!r:.40}; allowed: a JSON object")
    missing = [k for k in ("page", "name", "seed", "status", "metrics") if k not in run]
    if missing:
        raise ValueError(f"result file {file} lacks {', '.join(missing)}")
    return run


def median_of(runs: list[Run], metric: str) -> dict[str, Any]:
    """Median, lowest, highest of a metric, how many seeds, how many runs diverged.

    A diverged run has no figure and is counted, not dropped in silence.

    Raises:
        ValueError: for a metric that no run has, or that a finished run has no number
            of; of an infinite one JSON holds none.
    """
    if not runs:
        return {"median": None, "low": None, "high": None, "seeds": 0, "diverged": 0}
    known = {name for run in runs for name in run["metrics"]}
    if metric not in known:
        raise ValueError(f"unknown metric {metric!r}; {suggest(metric, known)}")
    done = [_number(run, metric) for run in runs if run["status"] == "finished"]
    values = torch.tensor(sorted(done), dtype=torch.float64)
    return {
        "median": values.quantile(0.5).item() if len(values) else None,
        "low": values.min().item() if len(values) else None,
        "high": values.max().item() if len(values) else None,
        "seeds": len({run["seed"] for run in runs}),
        "diverged": len(runs) - len(done),
    }


def _number(run: Run, metric: str) -> float:
    value = run["metrics"].get(metric)
    if not isinstance(value, int | float):
        place = f"{run['page']} {run.get('profile', '–')} {run['name']}"
        raise ValueError(
            f"metric {metric!r} of the finished run {place} seed {run['seed']} is "
            f"{value!r}; allowed: a finite number"
        )
    return value


def first_below(curves: dict[str, list[Any]], score: str, level: float) -> float:
    """The first evaluated step at which a score is at or below a level.

    Arguments:
        curves: of a run or a history; ``None`` in them is not below anything.
        score: one of them, such as ``"loss"``.
        level: in the score's unit.

    Returns:
        the step; infinite if the score never got there.

    Example:
        >>> first_below({"step": [0, 50, 100], "loss": [2.0, 0.3, 0.1]}, "loss", 0.2)
        100
    """
    check_choice("score", score, [name for name in curves if name != "step"])
    pairs = zip(curves["step"], curves[score], strict=True)
    reached = (step for step, v in pairs if v is not None and v <= level)
    return next(reached, float("inf"))


def provenance(device: str = "cpu") -> dict[str, Any]:
    """Device, versions, commit, peak memory (of the GPU where one is used), date."""
    return {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "commit": commit(),
        "peak_memory_mb": round(peak_memory(device) / 2**20),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }


def peak_memory(device: str) -> int:
    """The largest number of bytes held so far: by tensors on a GPU, else in all."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    # On Linux ru_maxrss starts at the parent's size, so the kernel's own mark is read.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if "VmHWM" in x)
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource  # Windows has none

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def device_name(device: str) -> str:
    """The GPU's name, or the processor's."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            x.split(":")[1].strip() for x in lines if x.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@functools.cache
def commit() -> str:
    """The checkout's commit, with ``+`` behind it if the library has been edited."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root()), *words],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    try:
        edited = git("status", "--porcelain", "--", "src/lib", "book")
        return git("rev-parse", "HEAD")[:12] + ("+" if edited else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _finite(value: Any) -> Any:
    """JSON has no NaN: ``None`` stands for a number that is not finite."""
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return None
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value
