"""All stored runs as one table: listed, filtered, exported.

The filter knows equality and ranges, as the grid of a sweep does. For anything more,
export the table and ask pandas, Polars or DuckDB, which read Parquet.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gatebook.errors import check_choice, suggest
from gatebook.files import write_atomic

from gatebook_book.pages.pages import find
from gatebook_book.paths import root
from gatebook_book.runs.store import FRESH, LIVE, STORED, Run, read
from gatebook_book.sweep.values import values_of

FOLDERS = (STORED, LIVE, "_build/results", FRESH)
"""Where runs lie: kept in git, of a sweep, of `gatebook run` or a build, made again."""

FORMATS = (".parquet", ".csv")


def stored(page: str | None = None) -> tuple[list[Run], list[str]]:
    """Every stored run, with its file below the root under ``file``.

    Returns:
        the runs, and a line for each file that holds none.
    """
    name = find(page).name if page else ""
    runs, wrong = [], []
    for folder in FOLDERS:
        for file in sorted((root() / folder / name).rglob("*.json")):
            try:
                runs.append(read(file) | {"file": str(file.relative_to(root()))})
            except (ValueError, OSError) as error:
                wrong.append(str(error))
    return runs, wrong


def row(run: Run) -> dict[str, Any]:
    """A run as one row, flat: ``metric.loss``, ``parameter.length``, ``curve.loss``.

    What a page keeps beside these, such as histograms, stays in the run's file.
    """
    plain = {k: v for k, v in run.items() if not isinstance(v, dict | list)}
    nested = {"metrics": "metric", "parameters": "parameter", "curves": "curve"}
    inner = {
        f"{short}.{name}": value
        for field, short in nested.items()
        for name, value in run.get(field, {}).items()
    }
    return plain | inner


def chosen(runs: list[Run], where: Iterable[str]) -> list[Run]:
    """The runs that fit all conditions.

    Arguments:
        runs: as `stored` gives them.
        where: texts such as ``"name=UR,LSTM"``, ``"seed=0:3"`` or ``"length=100"``,
            over a run's fields, its parameters and its metrics.

    Raises:
        ValueError: for a condition without a value, or on what no run has.
    """
    known = {name for run in runs for name in _fields(run)}
    for text in where:
        name, sign, values = text.partition("=")
        name = name.strip()
        if not sign or not values.strip():
            raise ValueError(f"where is {text!r}; allowed: name=value,value")
        if known and name not in known:
            raise ValueError(f"unknown field {name!r}; {suggest(name, sorted(known))}")
        wanted = values_of(f"where {name}", values)
        runs = [run for run in runs if _fits(run, name, wanted)]
    return runs


def _fits(run: Run, name: str, wanted: list[str]) -> bool:
    held = _fields(run).get(name, [])
    return any(_same(value, text) for value in held for text in wanted)


def _fields(run: Run) -> dict[str, list[Any]]:
    """What a condition may be on: all values that go by a name, the curves aside."""
    found: dict[str, list[Any]] = {}
    for key, value in row(run).items():
        if not key.startswith("curve."):
            name = key.removeprefix("parameter.").removeprefix("metric.")
            found.setdefault(name, []).append(value)
    return found


def _same(value: Any, text: str) -> bool:
    """``100`` fits 100 and 100.0; ``UR`` fits "UR"."""
    try:
        return bool(value == json.loads(text)) or value == text
    except json.JSONDecodeError:
        return value == text


def line(run: Run) -> str:
    """A run in one line."""
    metrics = " ".join(
        f"{name} {'–' if value is None else format(value, '.4g')}"
        for name, value in run["metrics"].items()
    )
    return (
        f"{run['page']} {run.get('profile', '–')} {run['name']} seed {run['seed']}: "
        f"{run['status']} · {metrics} · {run.get('seconds', 0):.0f} s · "
        f"commit {run.get('commit', '–')}"
    )


def export(runs: list[Run], file: Path) -> None:
    """Write runs as Parquet, or as CSV without their curves.

    Raises:
        ValueError: for another ending, or a folder that is not there.
        OSError: if the file cannot be written.
    """
    check_choice("ending", file.suffix, FORMATS)
    if not file.parent.is_dir():
        raise ValueError(f"export is {str(file)!r}; allowed: a file in a folder there")
    import pyarrow
    from pyarrow import csv, parquet

    rows = [row(run) for run in runs]
    names = list(dict.fromkeys(name for one in rows for name in one))
    if file.suffix == ".csv":
        names = [name for name in names if not name.startswith("curve.")]
    columns = {
        name: _column([one.get(name) for one in rows], file.suffix) for name in names
    }
    sink = pyarrow.BufferOutputStream()
    write = parquet.write_table if file.suffix == ".parquet" else csv.write_csv
    write(pyarrow.table(columns), sink)
    write_atomic(file, sink.getvalue().to_pybytes())


def _column(values: list[Any], ending: str) -> Any:
    """A column of one type; what has none, or no place in CSV, is JSON text."""
    import pyarrow

    nested = any(isinstance(value, list) for value in values)
    if not (nested and ending == ".csv"):
        try:
            return pyarrow.array(values)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):
            pass
    return pyarrow.array([None if v is None else json.dumps(v) for v in values])
