"""The command line: ``gatebook pages``, ``gatebook run``, ``gatebook build``.

Each command imports what it needs itself, so that help and the list of pages are there
at once.
"""

import io
import json
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from gatebook.errors import check_choice, check_device

from gatebook_book.context import current, using
from gatebook_book.pages.pages import PROFILES, find, page_names

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Run the pages of the book and build it.",
    rich_markup_mode=None,
)

FRESH_HELP = (
    "Repeat these runs if they exist. Those of laptop, own and paper are kept in "
    "git: their repeats go to _build/fresh and are drawn instead."
)
PROFILE_HELP = f"Set of parameters to start from: {', '.join(PROFILES)}."


@app.command()
def pages(
    page: Annotated[str | None, typer.Argument(help="One page only.")] = None,
    format: Annotated[str, typer.Option(help="text or json")] = "text",
) -> None:
    """List the pages with their parameters, types, defaults and help."""
    check_choice("format", format, ("text", "json"))
    names = [page] if page else page_names()
    listed = [find(name) for name in names]
    if format == "json":
        table = {
            p.name: {q.name: vars(q) for q in p.parameters().values()} for p in listed
        }
        print(json.dumps(table, indent=1))
        return
    for p in listed:
        print(p.name)
        for q in p.parameters().values():
            print(f"    {q.name}: {q.kind} = {q.default!r}  # {q.help}")


@app.command()
def run(
    page: Annotated[str, typer.Argument(help="The page, such as memory/copy.")],
    p: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", help="name=value; may be repeated."),
    ] = None,
    profile: Annotated[str, typer.Option(help=PROFILE_HELP)] = "book",
    fresh: Annotated[bool, typer.Option("--fresh", help=FRESH_HELP)] = False,
) -> None:
    """Execute one page with papermill; nothing starts unless all names are right.

    A finished run is not repeated: one that is kept in git never, another as long as
    the code is the same. When the code changes, new runs go beside the old ones.
    """
    started, given = time.monotonic(), _given(p or [])
    # It reads all parameters: a mistake is told before the imports take their time.
    check_device("device", find(page).device(profile, given))
    from gatebook_book.pages.execute import run_page

    target = run_page(page, profile, given, fresh)
    print(f"done after {time.monotonic() - started:.0f} s: {target}")


@app.command()
def sweep(
    page: Annotated[str, typer.Argument(help="The page, such as memory/copy.")],
    grid: Annotated[
        list[str],
        typer.Option(help="name=value,value or name=0:3; may be repeated."),
    ],
    p: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", help="name=value, equal at all points."),
    ] = None,
    profile: Annotated[str, typer.Option(help=PROFILE_HELP)] = "book",
    workers: Annotated[
        int | None, typer.Option(help="Points at once; default: one per core.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of each point.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler, tcp://host:8786.")
    ] = None,
    limit: Annotated[
        float, typer.Option(help="Minutes a point may go without a sign of life.")
    ] = 60.0,
) -> None:
    """Run a page at every point of a grid; finished points are not run again.

    A point is finished by the same rule as a run of `gatebook run`.
    """
    from gatebook_book.sweep.grid import points
    from gatebook_book.sweep.sweep import report
    from gatebook_book.sweep.sweep import sweep as run_sweep

    # A batch system ends a job so: with time to store its state.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    outcomes = run_sweep(
        points(page, profile, grid, _given(p or [])),
        workers=workers,
        threads=threads,
        scheduler=scheduler,
        limit=limit,
    )
    sys.exit(report(outcomes))


@app.command()
def reproduce(
    target: Annotated[
        str | None, typer.Argument(help="A page or part of a claim; default: all.")
    ] = None,
    profile: Annotated[str, typer.Option(help="Whose runs: own or paper.")] = "own",
    budget: Annotated[str, typer.Option(help="Time to spend: 2h, 90m.")] = "2h",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be run, and how long.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    workers: Annotated[
        int | None, typer.Option(help="Runs at once on a CPU; default: one per core.")
    ] = None,
) -> None:
    """Make the runs that the ledger lacks, the most valuable first.

    The order and its reasons are in book/reproduce.yaml. It can be stopped at any
    moment; the same command continues later, and what is finished is stored at once.
    """
    from gatebook_book.reproduce import work
    from gatebook_book.reproduce.blocks import chosen
    from gatebook_book.sweep.sweep import report
    from gatebook_book.sweep.sweep import sweep as run_sweep

    seconds = work.seconds_of(budget)
    blocks = chosen(target, profile)
    if dry_run:
        for line in work.table(work.tasks(blocks, device, workers), seconds):
            print(line)
        return
    check_device("device", device)
    work.check_place()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    points = work.points(blocks, device)
    if not points:
        print("nothing is missing")
        return
    started = time.monotonic()
    outcomes = run_sweep(points, workers=workers, budget=seconds, limit=600)
    spent = time.monotonic() - started >= seconds
    print(f"{sum(len(block.missing()) for block in blocks)} runs are still missing")
    code = report(outcomes)
    sys.exit(0 if spent and code == 130 else code)


@app.command()
def results(
    page: Annotated[str | None, typer.Argument(help="One page only.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="name=UR,LSTM or seed=0:3 or length=100; may be repeated."),
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write a .parquet or .csv file.")
    ] = None,
) -> None:
    """List the stored runs, some of them, or write them to a file."""
    from gatebook_book.runs import table

    found, wrong = table.stored(page)
    runs = table.chosen(found, where or [])
    if export is None:
        print(*map(table.line, runs), sep="\n", end="\n" if runs else "")
        print(f"{len(runs)} runs")
    else:
        table.export(runs, export)
        print(f"{len(runs)} runs in {export}")
    for message in wrong:
        print(f"error: {message}", file=sys.stderr)
    if wrong:
        sys.exit(1)


@app.command()
def build(
    profile: Annotated[str, typer.Option(help=PROFILE_HELP)] = "book",
) -> None:
    """Run the pages that changed and render the book into _build/html."""
    from gatebook_book.site.book import build as build_book

    started = time.monotonic()
    first = build_book(profile)
    print(f"built after {time.monotonic() - started:.0f} s; open {first}")


@app.command()
def publish(
    check: Annotated[bool, typer.Option("--check", help="Check only.")] = False,
    profile: Annotated[str, typer.Option(help=PROFILE_HELP)] = "book",
) -> None:
    """Check everything that must hold before the site is published."""
    if not check:
        raise ValueError(
            "publish is left to .github/workflows/pages.yml, on every push to main; "
            "allowed: --check"
        )
    from gatebook_book.site.publish import check as check_site

    print(f"ready to publish: {check_site(profile)}")


@app.command()
def ledger(
    page: Annotated[str | None, typer.Argument(help="One page only.")] = None,
    format: Annotated[str, typer.Option(help="text or json")] = "text",
    fresh: Annotated[bool, typer.Option("--fresh", help="From run --fresh.")] = False,
) -> None:
    """Each claim of the papers: theirs, ours, the verdict, the command."""
    from gatebook_book.runs.claims import pages as claimed
    from gatebook_book.runs.ledger import all_entries, entries
    from gatebook_book.runs.store import FRESH

    check_choice("format", format, ("text", "json"))
    if page and find(page).name not in claimed():
        raise ValueError(
            f"page {page!r} tests no claim of the papers; allowed: "
            f"{', '.join(map(repr, claimed()))}"
        )
    with using(replace(current(), kept=FRESH) if fresh else current()):
        listed = entries(find(page).name) if page else list(all_entries())
    if format == "json":
        print(json.dumps([vars(entry) for entry in listed], indent=1))
        return
    for e in listed:
        print(f"{e.verdict}: {e.claim} ({e.source})")
        for name in ("paper", "ours", "evidence", "command"):
            print(f"    {name}: {getattr(e, name)}")


@app.command()
def translate(
    file: Annotated[Path, typer.Argument(help="Plain text, one sentence per line.")],
    model: Annotated[Path, typer.Option(help="Folder of a released model.")],
    beam: Annotated[int, typer.Option(help="Hypotheses that are kept.")] = 5,
    alpha: Annotated[float, typer.Option(help="Power of the length in a score.")] = 1.0,
    output: Annotated[
        Path | None, typer.Option(help="File to write; default: the terminal.")
    ] = None,
) -> None:
    """Translate a text with a model that `gatebook.translate.artefact` has written."""
    from gatebook.errors import DataError
    from gatebook.files import FileError, write_atomic
    from gatebook.language.lines import text_lines
    from gatebook.translate.artefact import read

    try:
        lines, released = text_lines("FILE", file), read(model)
    except (DataError, FileError) as error:  # a user's mistake
        raise ValueError(str(error)) from error
    found = released.translate(lines, beam=beam, alpha=alpha)
    text = "".join(f"{line}\n" for line in found.lines)
    if output is None:
        print(text, end="")
    else:
        write_atomic(output, text.encode())
    if found.long:
        why = f"longer than the {released.longest} pieces that it was trained on"
        print(f"{found.long} of {len(lines)} lines are {why}", file=sys.stderr)
    if found.unknown:
        print(f"{found.unknown} letters are unknown to the model", file=sys.stderr)


def _given(texts: list[str]) -> dict[str, str]:
    given = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise ValueError(f"-p is {text!r}; allowed: name=value")
        if name.strip() in given:
            raise ValueError(f"-p {name.strip()!r} is given twice; allowed: once")
        given[name.strip()] = value
    return given


def main() -> None:
    """The console script: a user's mistake is one line, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # else a test has put its own there
            stream.reconfigure(encoding="utf-8")
    try:
        app()
    except SystemExit as end:
        if end.code == 130:  # what typer makes of Ctrl-C
            print("stopped; the same command goes on from there", file=sys.stderr)
        raise
    except (ValueError, TypeError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except RuntimeError as error:
        print(_of_a_page(error), file=sys.stderr)
        sys.exit(1)


def _of_a_page(error: RuntimeError) -> str:
    """The line for a page that failed; any other error is a bug and keeps its trace."""
    from gatebook_book.pages.execute import KernelLost, PageError

    if not isinstance(error, PageError):
        raise error
    goes_on = isinstance(error, KernelLost)
    return f"error: {error}{'; the same command goes on from there' * goes_on}"


if __name__ == "__main__":
    main()
