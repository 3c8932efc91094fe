"""Making the missing runs, block by block, until the budget is spent."""

import math
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gatebook.errors import check_count, check_device

from gatebook_book.paths import root
from gatebook_book.reproduce.blocks import Block
from gatebook_book.reproduce.calibrate import STARTUP, seconds_per_step
from gatebook_book.runs.store import STORED
from gatebook_book.sweep.point import SweepPoint
from gatebook_book.sweep.sweep import cores

UNITS = {"h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}
BUDGET = re.compile(r"(\d+(?:\.\d+)?)(h|min|m|s)")

NEEDED = 200 * 2**20
"""Free bytes below which nothing is begun: results and checkpoints need some."""


def seconds_of(budget: str) -> float:
    """``"2h"``, ``"90m"`` or ``"1h30m"`` in seconds.

    Raises:
        ValueError: for anything else, and for a time of zero.
    """
    parts = BUDGET.findall(budget.replace(" ", ""))
    whole = "".join(number + unit for number, unit in parts)
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if whole != budget.replace(" ", "") or not 0 < seconds < math.inf:
        raise ValueError(
            f"budget is {budget!r}; allowed: a time above 0, such as 2h, 90m or 1h30m"
        )
    return seconds


def check_place(folder: Path | None = None) -> None:
    """Make sure that results can be stored, before hours go into them.

    Arguments:
        folder: of the results; by default those kept in git.

    Raises:
        OSError: if the folder cannot be written or its disk is full, naming it.
    """
    folder = folder or root() / STORED
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise OSError(f"results cannot be stored in {folder}: {error.strerror}") from (
            error
        )
    if free < NEEDED:
        raise OSError(
            f"results cannot be stored in {folder}: {free / 2**20:.0f} MiB are free; "
            f"needed: {NEEDED / 2**20:.0f} MiB"
        )


@dataclass(frozen=True)
class Task:
    """A block with what is missing of it, and how long that takes here.

    Arguments:
        block: what is to run.
        missing: runs that are not stored.
        seconds: that they take, on all workers together.
    """

    block: Block
    missing: int
    seconds: float

    def lines(self, number: int) -> Iterator[str]:
        """Of the table: the block, then the claims that need it."""
        whole = len(self.block.wanted())
        hours = f"{self.seconds / 3600:.1f} h" if self.missing else "–"
        yield (
            f"{number:2}. {self.block.page} ({self.block.profile}): "
            f"{self.missing} of {whole} runs missing, {hours}"
        )
        yield f"    {self.block.why}"
        for claim in self.block.decides():
            yield f"    - {claim.claim}"


def tasks(blocks: list[Block], device: str, workers: int | None = None) -> list[Task]:
    """What each block lacks, and its time by a short calibration.

    Arguments:
        blocks: in their order.
        device: ``"cpu"`` or ``"cuda"``.
        workers: runs at once on a CPU; by default one per core.

    Raises:
        ValueError: for a result that was cut short, or a device that is not here.
    """
    check_device("device", device)
    if workers is not None:
        check_count("workers", workers)
    made = []
    for block in blocks:
        missing = len(block.missing())
        seconds = _seconds(block, missing, device, workers) if missing else 0.0
        made.append(Task(block, missing, seconds))
    return made


def _seconds(block: Block, missing: int, device: str, workers: int | None) -> float:
    """Seconds for the missing runs; on a GPU those of a block go side by side."""
    shape = tuple(block.shape)
    if device.startswith("cuda"):
        models = min(missing, 12)  # as experiments train at once
        times = math.ceil(missing / models) * block.steps
        return STARTUP + times * seconds_per_step(shape, device, models)
    one = STARTUP + block.steps * seconds_per_step(shape)
    at_once = min(workers or cores(), missing)
    return math.ceil(missing / at_once) * one


def table(found: list[Task], budget: float) -> Iterator[str]:
    """The order, what is missing and how long it takes, and how far the budget goes."""
    gone, over = 0.0, False
    for number, task in enumerate(found, 1):
        yield from task.lines(number)
        gone += task.seconds
        if gone > budget and not over:
            yield f"-- the budget of {_in_words(budget)} ends in the block above --"
            over = True
    missing = sum(task.missing for task in found)
    yield (
        f"{missing} runs missing, about {gone / 3600:.1f} h where the cores are free "
        "for them"
    )


def _in_words(seconds: float) -> str:
    unit = next((u for u in ("h", "min") if seconds >= UNITS[u]), "s")
    return f"{seconds / UNITS[unit]:.3g} {unit}"


def points(blocks: list[Block], device: str) -> list[SweepPoint]:
    """All that is missing, in order, each run once."""
    made: dict[str, SweepPoint] = {}
    for block in blocks:
        for point in _points(block, device):
            made.setdefault(f"{point.page} {point.profile} {point.key}", point)
    return list(made.values())


def _points(block: Block, device: str) -> list[SweepPoint]:
    """The page at each missing run; on a GPU one point, with all models at once."""
    missing = block.missing()
    if not device.startswith("cuda"):
        return [_point(block, [m], [s], device) for m, s in missing]
    methods = [m for m in block.methods if m in {m for m, _ in missing}]
    seeds = sorted({s for _, s in missing})
    return [_point(block, methods, seeds, device)] if missing else []


def _point(
    block: Block, methods: list[str], seeds: list[int], device: str
) -> SweepPoint:
    texts = block.texts(methods, seeds)
    if device != "cpu" or "device" in block.source.parameters():
        texts["device"] = device  # the profile's own may be another
    names = ",".join(m + block.ending for m in methods)
    label = f"{block.page} {names} seed {','.join(map(str, seeds))}"
    return SweepPoint(block.page, block.profile, texts, label)
