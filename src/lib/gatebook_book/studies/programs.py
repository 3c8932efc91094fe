"""What is kept of a run on programs: its figures, its answers, its gates."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from gatebook.modes import evaluating
from gatebook.rnn.record import record
from gatebook.tasks.base import Task
from gatebook.tasks.programs import Program, Programs
from gatebook.training import History, SequenceModel
from jaxtyping import Float, Int
from torch import Tensor

LAST = 5
"""Evaluations that the final accuracy is the mean of: one alone swings by 0.05."""

SHOWN = 6
"""Programs of each set whose answers are kept."""

LOOKED_AT = 1024
"""Programs that tables of a model's answers are made from."""

TRACED = 8
"""Units whose gates are kept, for each of two ways to choose them."""


def program_scores(model: SequenceModel, task: Task, history: History) -> Any:
    """A run on programs: how soon it learned, and where it ended.

    Returns:
        ``mean_loss``, the mean over all evaluations of the loss on programs of all
        levels: low if a model learns early; of the same programs the last ``loss``,
        ``accuracy`` and ``exact``; and of the hardest level ``final_accuracy``, the
        mean of the last five evaluations, and the last ``hardest_exact``.
    """
    last = history.curves["hardest_accuracy"][-LAST:]
    scores = {k: history.last(k) for k in ("loss", "accuracy", "exact")}
    return scores | {
        "mean_loss": history.mean("loss"),
        "final_accuracy": sum(last) / len(last),
        "hardest_exact": history.last("hardest_exact"),
    }


def answers(model: SequenceModel, task: Programs) -> list[dict[str, str]]:
    """A look: some programs, their answers, and what the model writes."""
    return [
        {"program": program.text, "answer": program.answer, "written": written}
        for curriculum in ("mix", "none")
        for program, written in _written(model, task, curriculum, SHOWN)
    ]


def levels(model: SequenceModel, task: Programs) -> list[dict[str, float]]:
    """A look: how many programs, characters and answers are right at each level."""
    by_level: dict[tuple[int, int], list[tuple[str, str]]] = defaultdict(list)
    for program, written in _written(model, task, "mix", LOOKED_AT):
        level = (program.length, program.nesting)
        by_level[level].append((program.answer, written))
    return [
        {"length": length, "nesting": nesting, "programs": len(pairs)} | _right(pairs)
        for (length, nesting), pairs in sorted(by_level.items())
    ]


def _right(pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Of answers and what was written: the shares of right characters and answers."""
    characters = [
        a == b for answer, own in pairs for a, b in zip(answer, own, strict=True)
    ]
    exact = [answer == own for answer, own in pairs]
    return {
        "accuracy": sum(characters) / len(characters),
        "exact": sum(exact) / len(exact),
    }


def places(model: SequenceModel, task: Programs) -> list[dict[str, int]]:
    """A look: right digits by their place and, in sums, by the carry into it.

    Place 0 is the last digit, the ones. The carry is that of written addition: what
    the sum of all digits to the right brings along. It is -1 where the program does
    more than add.
    """
    counts: dict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0])
    for program, written in _written(model, task, "none", LOOKED_AT):
        size = len(program.answer)
        for k, (a, b) in enumerate(zip(program.answer, written, strict=True)):
            place = size - 1 - k
            carry = carry_into(program.text, place) if task.kind == "addition" else -1
            total = counts[size, place, carry]
            total[0] += 1
            total[1] += a == b
    names = ("digits", "place", "carry", "count", "right")
    return [
        dict(zip(names, (*key, *total), strict=True))
        for key, total in sorted(counts.items())
    ]


def carry_into(text: str, place: int) -> int:
    """What written addition carries into a place; 0 is that of the ones.

    Example:
        >>> carry_into("(95+8)+7", 1), carry_into("(95+8)+7", 2)
        (2, 1)
    """
    return sum(int(n) % 10**place for n in re.findall(r"\d+", text)) // 10**place


def losses_by_position(model: SequenceModel, task: Programs) -> list[float | None]:
    """A look: the loss of each character of the answer, at the hardest level."""
    programs = task.drawn("none", LOOKED_AT)
    x, target = task.encode(programs)
    found = task.loss_by_position(_predicted(model, x), target)
    return [None if value != value else round(value, 4) for value in found]


def _written(
    model: SequenceModel, task: Programs, curriculum: str, count: int
) -> list[tuple[Program, str]]:
    programs = task.drawn(curriculum, count)
    x, target = task.encode(programs)
    written = task.decode(_predicted(model, x), target)
    return list(zip(programs, written, strict=True))


def _predicted(model: SequenceModel, x: Tensor) -> Tensor:
    with evaluating(model):
        return model(x.to(next(model.parameters()).device)).cpu()


# -- gates -----------------------------------------------------------------


def forget_gates_of(model: SequenceModel, x: Tensor) -> Float[Tensor, "T B U"]:
    """The effective forget gate of each unit at each step, slots side by side."""
    x = x.to(next(model.parameters()).device)
    with record(model) as gates, evaluating(model):
        model(x)
    first = next(iter(gates.values()))
    return first["effective_forget"].data.flatten(2).cpu()


def kept_by_brackets(model: SequenceModel, task: Programs) -> dict[str, list[float]]:
    """A look: what share of its state each unit keeps, over the hardest programs.

    Returns:
        ``inside``: from the first opening bracket to the last closing one; and
        ``after``: from there to the end of the program. Each has one value per unit,
        the mean over programs of the product of its forget gates.
    """
    programs = [p for p in task.drawn("none", 256) if ")" in p.text]
    if not programs:  # no nesting
        return {"inside": [], "after": []}
    x, _ = task.encode(programs)
    logs = forget_gates_of(model, x).clamp(min=1e-12).log().cumsum(0)
    opens = torch.tensor([p.text.index("(") for p in programs])
    closes = torch.tensor([p.text.rindex(")") for p in programs])
    ends = torch.tensor([len(p.text) - 1 for p in programs])
    return {
        "inside": _product(logs, opens, closes),
        "after": _product(logs, closes, ends),
    }


def _product(
    logs: Float[Tensor, "T B U"], start: Int[Tensor, " B"], end: Int[Tensor, " B"]
) -> list[float]:
    """Mean over B of the gates' product after the step ``start``, up to ``end``."""
    columns = torch.arange(len(start))
    return _rounded((logs[end, columns] - logs[start, columns]).exp().mean(0))


def traces(model: SequenceModel, task: Programs) -> dict[str, Any]:
    """A look: the gates of some units over the characters of one program.

    The program is the same for all runs of a task. The units are the eight that keep
    most from the last bracket, or from the start, to the end of the program, and the
    eight whose gate varies most.
    """
    candidates = replace(task, seed=0).drawn("none", 16)
    program = max(candidates, key=lambda p: len(p.text))
    x, target = task.encode([program])
    written = task.decode(_predicted(model, x), target)[0]
    gates = forget_gates_of(model, x)[:, 0]  # (T, U)
    read = gates[: len(program.text)]
    kept = read[program.text.rfind(")") + 1 :].clamp(min=1e-12).log().sum(0)
    chosen = {"keeping": kept, "varying": read.std(0)}
    return {"program": program.text, "answer": program.answer, "written": written} | {
        name: _rows(gates, score.topk(min(TRACED, len(score))).indices)
        for name, score in chosen.items()
    }


def _rows(gates: Float[Tensor, "T U"], units: Int[Tensor, " n"]) -> Mapping[str, Any]:
    """The gates of some units, each unit's number with its values."""
    return {str(u): _rounded(gates[:, u]) for u in units.tolist()}


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 3) for value in values.tolist()]


LOOKS: dict[str, Any] = {
    "answers": answers,
    "levels": levels,
    "places": places,
    "losses": losses_by_position,
    "kept": kept_by_brackets,
    "traces": traces,
}
"""What is kept of each run beside its curves; the histograms come with it."""
