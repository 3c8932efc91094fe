"""Train the runs whose gates the explorer on the copy page shows.

    .venv/bin/python tools/snapshots.py [GATE ...]

The experiment is that of the page ``memory/scaling`` at the profile laptop with a delay
of 40 and seed 0, ended after 3,200 steps. A gate takes about a minute on one core. Its
run takes the place of the one in ``book/_static/copy-gates.js``; without a name, those
of all gates do.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from gatebook import LSTM
from gatebook.errors import check_choice
from gatebook.files import write_atomic
from gatebook.inside import Snapshots
from gatebook.tasks import Copy
from gatebook.training import History, Plan, build, fit
from gatebook_book.pages.pages import find
from gatebook_book.paths import root
from gatebook_book.runs.progress import show_progress
from gatebook_book.runs.provenance import commit, provenance
from gatebook_book.widgets.gate_explorer import (
    AFTER,
    BEFORE,
    FILE,
    METHODS,
    MOMENTS,
    packed,
    stored_moments,
)

EVERY = 100
SEQUENCES = 32
"""How many the answers and the units' means are taken of."""

DELAY, SEED = 40, 0


def main(names: Sequence[str]) -> None:
    """Train, and keep each run as soon as it ends."""
    commit()  # remembered now: the checkout may be edited while the runs go on
    for name in names:
        check_choice("GATE", name, METHODS)
    given = find("memory/scaling").effective("laptop", {})
    task = Copy(DELAY, seed=SEED)
    plan = Plan(MOMENTS[-1], given["learning_rate"], evaluate_every=EVERY)
    for name in names:
        keep(name, watched(name, task, plan, given["hidden_size"]), task, plan)


def keep(name: str, run: dict[str, Any], task: Copy, plan: Plan) -> None:
    """Put a run into the file, and say how large that is now."""
    old = json.loads(stored_moments())["runs"] if (root() / FILE).exists() else {}
    runs = old | {name: run}
    parameters = task.describe() | {"hidden_size": run["hidden_size"], "seed": SEED}
    found = {
        "command": ".venv/bin/python tools/snapshots.py",
        "license": "CC BY 4.0",
        "parameters": parameters | asdict(plan),
        "moments": MOMENTS,
        "sequences": SEQUENCES,
        "target": digits(task.validation()[0][1][:, :SEQUENCES]),
        "runs": {gate: runs[gate] for gate in METHODS if gate in runs},
    }
    text = BEFORE + json.dumps(found, separators=(",", ":")) + AFTER
    write_atomic(root() / FILE, text.encode())
    print(f"{', '.join(found['runs'])}: {len(text):,} characters")


def watched(name: str, task: Copy, plan: Plan, hidden_size: int) -> dict[str, Any]:
    """Train one gate, and keep what the explorer shows of it."""
    model = build(task, LSTM, hidden_size, SEED, gate=name)
    seen = Snapshots(model, task.validation()[0][0][:, :SEQUENCES], MOMENTS)
    history = fit(model, task, plan, report=show_progress, watch=seen)
    told_of = told(history, seen, task.length)
    return told_of | {"hidden_size": hidden_size, **provenance()}


def told(history: History, seen: Snapshots, delay: int) -> dict[str, Any]:
    """Curves, gates of the first sequence, means while waiting, and answers."""
    whole = [seen.gates[step] for step in MOMENTS]  # (T, B, H) each
    first = torch.stack([gates[:, 0].T for gates in whole])  # (moments, H, T)
    waiting = torch.stack([gates[10 : 10 + delay].mean((0, 1)) for gates in whole])
    return {
        "status": history.status,
        "seconds": round(history.seconds, 1),
        "curves": {
            "step": history.curves["step"],
            "loss": [round(v, 4) for v in history.curves["loss"]],
            "accuracy": [round(v, 4) for v in history.curves["accuracy"]],
        },
        "gates": packed(first),
        "means": packed(waiting),
        "answers": [digits(seen.outputs[step].argmax(-1)) for step in MOMENTS],
    }


def digits(tokens: torch.Tensor) -> str:
    """Tokens of (10, B) as a text, place by place."""
    return "".join(map(str, tokens.flatten().tolist()))


if __name__ == "__main__":
    main(sys.argv[1:] or METHODS)
