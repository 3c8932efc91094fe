"""The results store: one JSON file per run, written whole or not at all."""

import contextlib
import datetime
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatebook.errors import check_device
from gatebook.files import write_atomic
from gatebook.random import derive_seed

from gatebook_book.context import current
from gatebook_book.paths import root
from gatebook_book.runs.locks import alone
from gatebook_book.runs.progress import show_progress
from gatebook_book.runs.provenance import commit, provenance

Run = dict[str, Any]
"""A stored run: page, name, seed, parameters, metrics, curves, provenance."""

SCHEMA = 1
"""What the fields of a stored run mean; a run without the field ``schema`` has 1."""

FIELDS = ("page", "name", "seed", "parameters", "status", "metrics")
"""What no stored run lacks."""

STORED = "data/results"
"""Where runs that are kept in git lie, below the root."""

CODE = "code"
"""The file in a folder below ``_build`` that says whose runs there count: those with
this sum in their names."""

LIVE = "_build/sweeps"
"""Where results of a sweep lie that are not a kept profile's own."""

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
        folder = self.folder or root() / current().results
        return folder / self.page / (self.profile or current().profile)

    @property
    def code(self) -> str:
        """A sum of the page's code, where the runner says that runs depend on it."""
        return "" if self.folder else current().code

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
        runs = self._that_count(files)
        with contextlib.ExitStack() as locks:
            # In order, so that no two processes each hold what the other waits for.
            for file in sorted({files[k] for k in files.keys() - runs.keys()}):
                locks.enter_context(alone(file))
            # Another process may have made some of them meanwhile.
            runs |= self._that_count({k: f for k, f in files.items() if k not in runs})
            for name, seed, _ in (wanted[k] for k in sorted(runs)):
                show_progress(f"{name} seed {seed}: stored before, not repeated")
            missing = {k: f for k, f in files.items() if k not in runs}
            if missing:
                runs |= self._make(wanted, missing, work)
        for file in files.values():
            _tell_runner(file)
        return [runs[place] for place in files]

    def _that_count(self, files: dict[int, Path]) -> dict[int, Run]:
        """Those that are there, and are not to be made again."""
        since = 0.0 if self.folder else current().since
        found = _stored(files)
        if not since:
            return found
        return {k: run for k, run in found.items() if files[k].stat().st_mtime >= since}

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
                "schema": SCHEMA,
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
        code = mark.read_text(encoding="utf-8") if mark.exists() else ""
        ending = f"-{code}.json" if code else ".json"
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


def _tell_runner(file: Path) -> None:
    """Note the file of a run that a page used, for a sweep to know its results by."""
    if name := current().notes:
        with open(name, "a", encoding="utf-8") as notes:
            notes.write(f"{file}\n")


def load(page: str, profile: str) -> list[Run]:
    """The runs kept in git for a page; an empty list where none was stored."""
    return Store(page, profile, kept()).load()


def kept() -> Path:
    """The folder of runs that pages draw: those in git, or of ``run --fresh``."""
    return root() / current().kept


def read(file: Path) -> Run:
    """One stored run; ``None`` in a curve stands for a value that was not finite.

    Raises:
        ValueError: if the file is not a stored run, naming it.
    """
    return _parsed(file.read_bytes(), file)


def _parsed(text: str | bytes, file: Path) -> Run:
    try:
        run = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"result file {file} is not JSON: {error}") from error
    if not isinstance(run, dict):
        raise ValueError(f"result file {file} is {run!r:.40}; allowed: a JSON object")
    run = {"schema": SCHEMA} | run
    if run["schema"] != SCHEMA:
        raise ValueError(
            f"result file {file} has schema {run['schema']!r}; allowed: {SCHEMA}"
        )
    if missing := [name for name in FIELDS if name not in run]:
        raise ValueError(f"result file {file} lacks {', '.join(missing)}")
    for name in ("parameters", "metrics"):
        if not isinstance(run[name], dict):
            raise ValueError(
                f"{name} in result file {file} is {run[name]!r:.40}; allowed: an object"
            )
    return run


def _finite(value: Any) -> Any:
    """JSON has no NaN: ``None`` stands for a number that is not finite."""
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return None
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value
