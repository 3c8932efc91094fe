"""The claims of the ledger in HTML: verdicts as chips, each run as a dot.

It reads as a table without JavaScript; ``book/_static/claims.js`` folds, filters and
sorts it.
"""

import functools
import html
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import yaml
from gatebook.files import read_text
from IPython.display import HTML

from gatebook_book.figures.plots import COLOURS
from gatebook_book.pages.pages import find
from gatebook_book.paths import root
from gatebook_book.runs.ledger import Row, entries, spelled
from gatebook_book.runs.statistics import spread

KINDS = {
    "reproduced": ("agrees", "●"),
    "agrees (small)": ("agrees", "○"),
    "partly": ("partly", "◐"),
    "partly (small)": ("partly", "◌"),
    "contradicted": ("differs", "■"),
    "differs (small)": ("differs", "□"),
    "undecided": ("open", "?"),
    "no run": ("open", "–"),
}
"""Of each verdict the colour's class, and a sign that is filled at the paper's size."""

AT_SIZE = ("reproduced", "partly", "contradicted", "undecided")
"""The verdicts of runs at the paper's own model and task."""

COUNTED = {"agrees": "agree", "partly": "partly", "differs": "differ", "open": "open"}
"""The classes of verdicts, as words that a number stands before."""

ROW, LETTER, WIDTH = 16, 6.4, 100
"""Height of a method's line, width of a letter and of the line with dots, in pixels."""


class Scale(NamedTuple):
    """Where the dots of a figure are; logarithmic over more than a decade."""

    low: float
    high: float

    @property
    def logs(self) -> bool:
        """Whether equal factors are equally far apart."""
        return self.low > 0 and self.high > 12 * self.low

    def place(self, value: float) -> float:
        """From 0 at the left to 1 at the right."""
        by = math.log if self.logs else float
        length = by(self.high) - by(self.low)
        return (by(value) - by(self.low)) / length if length else 0.5


def of_page(page: str, caption: str = "") -> HTML:
    """The claims that a page tests, for its section "Paper vs. this book".

    The scale stands in the caption if all rows share it, and else in each row.
    """
    found = entries(page)
    scales = {row.scale for row in found if row.runs}
    shared = scales.pop() if len(scales) == 1 else ""
    words = [caption, f"All runs: {shared}." if shared else ""]
    return table(found, " ".join(filter(None, words)), with_scale=not shared)


def tally(page: str) -> HTML:
    """How many of a page's claims have which verdict, for the top of the page."""
    return chips(row.verdict for row in entries(page))


def tally_at_size(rows: Sequence[Row]) -> HTML:
    """How many claims have which verdict by runs at the paper's own model and task."""
    judged = [row.verdict for row in rows if row.verdict in AT_SIZE]
    return chips(judged, "The verdicts at the paper's own size")


def chips(verdicts: Iterable[str], lead: str = "The verdicts of this page") -> HTML:
    """The same of verdicts that a page's own table gives, or of others, as it says."""
    counts = Counter(verdicts)
    words = " ".join(
        f"{chip(word)}\u00a0×\u00a0{counts[word]}" for word in KINDS if counts[word]
    )
    return HTML(f'<p class="claims-tally">{lead}: {words}</p>')


def table(
    rows: Sequence[Row],
    caption: str = "",
    *,
    with_scale: bool = True,
    with_page: bool = False,
) -> HTML:
    """Claims, one line each; quote, rule and runs unfold.

    Arguments:
        rows: of the ledger.
        caption: above the table.
        with_scale: whether each line names its runs' size.
        with_page: whether the rows stand under their pages' titles and link there, and
            the table can be filtered.
    """
    rows = [in_its_unit(row) for row in rows]
    heads = ("verdict", "claim", "paper", "this book")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    scales, bodies = _shared_scales(rows), ""
    for page, own in itertools.groupby(_anchored(rows), lambda pair: pair[0].page):
        group = list(own)
        heading = _heading(page, [row for row, _ in group]) if with_page else ""
        lines = "".join(
            _row(row, anchor, scales[page, row.metric], with_scale, with_page)
            for row, anchor in group
        )
        bodies += f"<tbody>{heading}{lines}</tbody>"
    filtered = " data-filter" if with_page else ""
    above = f"<caption>{_text(caption)}</caption>" if caption else ""
    return HTML(
        f'<div class="claims"{filtered}><table class="dataframe gatebook-table">'
        f"{above}<thead><tr>{head}</tr></thead>{bodies}</table></div>"
    )


def in_its_unit(row: Row) -> Row:
    """The row with figures as they are shown: shares as percentages, if named so."""
    if "%" not in named(row.metric):
        return row
    values = {m: [100 * share for share in own] for m, own in row.values.items()}
    ours = "; ".join(spelled(m, spread(own)) for m, own in values.items())
    return replace(row, values=values, ours=ours or row.ours)


def _heading(page: str, rows: Sequence[Row]) -> str:
    """The line above a page's claims: its title, a sign for each, and the counts."""
    kinds = [KINDS[row.verdict] for row in rows]
    signs = "".join(f'<span class="claim-{kind}">{sign}</span>' for kind, sign in kinds)
    counts = Counter(COUNTED[kind] for kind, _ in kinds)
    return (
        f'<tr class="claims-page"><th colspan="4" scope="rowgroup">'
        f'<span class="claims-title">{_title(page)}</span> '
        f'<span class="claims-signs" aria-hidden="true">{signs}</span> '
        f"<small>{_counted(counts)}</small></th></tr>"
    )


def strip(rows: Sequence[Row], ledger: str = "") -> HTML:
    """All verdicts at a glance: one box per claim, a line for each paper, the counts.

    Arguments:
        rows: of the ledger.
        ledger: address of the page that has their `table`, this one by default.
    """
    papers = ("P1", "P2", "P3", "others", "ours")
    lines: dict[str, str] = dict.fromkeys(papers, "")
    counts = {paper: Counter[str]() for paper in papers}
    for row, anchor in _anchored(rows):
        kind, sign = KINDS[row.verdict]
        words = _text(f"{row.verdict}: {row.claim}")
        counts[paper_of(row)][COUNTED[kind]] += 1
        # A hundred stops of the tab key would be in the way; the table has them all.
        lines[paper_of(row)] += (
            f'<a class="claim-{kind}" href="{ledger}#{anchor}" title="{words}" '
            f'aria-label="{words}" tabindex="-1">{sign}</a>'
        )
    body = "".join(
        f"<dt>{paper}</dt><dd>{line}<small>{_counted(counts[paper])}</small></dd>"
        for paper, line in lines.items()
        if line
    )
    strip = f'<dl class="claims-strip">{body}</dl>'
    return HTML(f"<div>{_totals(rows)}{strip}</div>")


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[w]}\u00a0{w}" for w in COUNTED.values() if counts[w])


def _totals(rows: Sequence[Row]) -> str:
    """In a sentence, how many claims there are and at what size they were judged."""
    small = sum(row.verdict.endswith("(small)") for row in rows)
    none = sum(row.verdict == "no run" for row in rows)
    return (
        f"<p>Of {len(rows)} claims, {len(rows) - small - none} are judged at the "
        f"paper's own size and {small} by smaller runs. {none} have no run yet.</p>"
    )


def paper_of(row: Row) -> str:
    """``"P1"``, ``"P2"``, ``"P3"``, ``"ours"``, or ``"others"`` for other people's."""
    found = re.match(r"P[123]\b", row.source)
    if found:
        return found[0]
    return "ours" if row.source.startswith("our") else "others"


def _anchored(rows: Sequence[Row]) -> list[tuple[Row, str]]:
    """Each row with the name of its place: the page's, and its number there."""
    seen: dict[str, int] = {}
    named = []
    for row in rows:
        seen[row.page] = seen.get(row.page, 0) + 1
        named.append((row, f"claim-{row.page.replace('/', '-')}-{seen[row.page]}"))
    return named


def _row(row: Row, anchor: str, where: Scale, with_scale: bool, with_page: bool) -> str:
    data = {
        "paper": paper_of(row),
        "page": row.page,
        "verdict": row.verdict,
        "size": row.scale.split(",")[0] if row.runs else "none",
    }
    marks = " ".join(f'data-{key}="{_text(value)}"' for key, value in data.items())
    scale = f"<small>{_text(row.scale)}</small>" if with_scale and row.runs else ""
    cells = {
        "verdict": chip(row.verdict),
        "claim": _claim(row, with_page),
        "paper": _text(row.paper),
        "this book": (_dots(row, where) if row.values else "–") + scale,
    }
    body = "".join(f'<td data-head="{k}">{v}</td>' for k, v in cells.items())
    return f'<tr id="{anchor}" {marks}>{body}</tr>'


def chip(verdict: str) -> str:
    """A verdict in its colour."""
    kind, sign = KINDS[verdict]
    return (
        f'<span class="claim-chip claim-{kind}"><span aria-hidden="true">{sign}</span> '
        f"{_text(verdict)}</span>"
    )


def _claim(row: Row, with_page: bool) -> str:
    """The claim, its source, and what unfolds below it."""
    link = f', <a href="{row.page}.html">{_title(row.page)}</a>' if with_page else ""
    quote = f"<blockquote>{_text(row.quote)}</blockquote>" if row.quote else ""
    facts = "".join(
        f"<dt>{key}</dt><dd>{value}</dd>" for key, value in _facts(row).items()
    )
    return (
        f"<details><summary>{_text(row.claim)}</summary>{quote}<dl>{facts}</dl>"
        f"</details><small>{_text(row.source)}{link}</small>"
    )


def _facts(row: Row) -> dict[str, str]:
    """What unfolds below a claim, in HTML."""
    called = {"reproduced": "agrees"}  # at any size
    rules = {
        f"rule for “{called.get(word, word)}”": _code(rule)
        for word, rule in row.rules.items()
    }
    days = f"rule of {row.fixed}; " if row.fixed else ""
    first = f"first run of {row.first_day}" if row.first_day else ""
    facts = {
        "figure": _text(named(row.metric)),
        "runs": str(row.runs or ""),
        "diverged": str(row.diverged or ""),
        "this book": _text(row.ours),
        **rules,
        "dates": _text(days + first),
        "evidence": _text(row.evidence),
        "again": _code(row.command),
    }
    return {key: value for key, value in facts.items() if value and value != "–"}


@functools.cache
def _names() -> dict[str, str]:
    return yaml.safe_load(read_text(root() / "book" / "metrics.yaml"))


def named(metric: str) -> str:
    """A metric in words, as ``book/metrics.yaml`` has it, with its better direction."""
    return _names().get(metric, metric.replace("_", " "))


def _title(page: str) -> str:
    return _text(find(page).title)


def _dots(row: Row, where: Scale) -> str:
    """One line per method with a dot for each run, and the median beside it."""
    names = max(46.0, 8 + LETTER * max(map(len, row.values)))
    medians = [f"{median(v):.3g}" for v in row.values.values() if v]
    beside = 10 + LETTER * max(map(len, medians), default=0)
    width, height = names + WIDTH + beside, ROW * len(row.values)
    lines = "".join(
        _line(method, values, where, names, ROW * (k + 0.5))
        for k, (method, values) in enumerate(row.values.items())
    )
    axis = ", logarithmic axis" if where.logs else ""
    metric = f'<small class="metric">{_text(named(row.metric))}{axis}</small>'
    return (
        f'{metric}<svg role="img" aria-label="{_text(row.ours)}" width="{width:.0f}" '
        f'height="{height}" viewBox="0 0 {width:.0f} {height}">{lines}</svg>'
    )


def _shared_scales(rows: Sequence[Row]) -> dict[tuple[str, str], Scale]:
    """A page's rows of one figure share their scale, so that rows compare."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        own = found.setdefault((row.page, row.metric), [])
        own.extend(v for values in row.values.values() for v in values)
    return {
        key: Scale(min(values, default=0.0), max(values, default=1.0))
        for key, values in found.items()
    }


def _line(method: str, values: list[float], where: Scale, left: float, y: float) -> str:
    colour = COLOURS.get(method.removesuffix("-long"), "currentColor")
    text = f'<text x="0" y="{y + 3.5:.1f}">{_text(method)}</text>'
    if not values:
        return f'{text}<text x="{left:.0f}" y="{y + 3.5:.1f}">diverged</text>'
    places = [left + 5 + (WIDTH - 10) * where.place(v) for v in values]
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}"/>' for x in places
    )
    middle = median(values)
    return (
        f'{text}<path d="M{left:.0f} {y:.1f}h{WIDTH}"/>{dots}'
        f'<text x="{left + WIDTH + 6:.0f}" y="{y + 3.5:.1f}">{middle:.3g}</text>'
    )


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _text(value: str) -> str:
    return html.escape(value)
