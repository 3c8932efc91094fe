"""Train the runs whose gates the explorer on the copy page shows.

    .venv/bin/python tools/snapshots.py

The experiment is that of the page ``memory/copy`` at the profile laptop, seed 0, ended
after 4,000 steps. It takes three minutes a gate on one core and writes
``data/snapshots/copy-gates.js``.
"""

import json
from typing import Any

import torch
from gatebook import LSTM
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
)

EVERY = 100
SEQUENCES = 32
"""How many the answers and the units' means are taken of."""

SEED = 0


def main() -> None:
    """Write the file, and say how large it is."""
    commit()  # remembered now: the checkout may be edited while the runs go on
    given = find("memory/copy").effective("laptop", {})
    task = Copy(given["length"], seed=SEED)
    plan = Plan(MOMENTS[-1], given["learning_rate"], evaluate_every=EVERY)
    runs = {name: watched(name, task, plan, given["hidden_size"]) for name in METHODS}
    found = {
        "command": ".venv/bin/python tools/snapshots.py",
        "license": "CC BY 4.0",
        "parameters": task.describe()
        | {"hidden_size": given["hidden_size"], "seed": SEED, "steps": plan.steps}
        | {"learning_rate": plan.learning_rate, "clip": plan.clip},
        **provenance(),
        "moments": MOMENTS,
        "sequences": SEQUENCES,
        "target": digits(task.validation()[0][1][:, :SEQUENCES]),
        "runs": runs,
    }
    text = BEFORE + json.dumps(found, separators=(",", ":")) + AFTER
    (root() / FILE).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(root() / FILE, text.encode())
    print(f"{len(runs)} runs of {len(MOMENTS)} moments, {len(text):,} characters")


def watched(name: str, task: Copy, plan: Plan, hidden_size: int) -> dict[str, Any]:
    """Train one gate, and keep what the explorer shows of it."""
    model = build(task, LSTM, hidden_size, SEED, gate=name)
    seen = Snapshots(model, task.validation()[0][0][:, :SEQUENCES], MOMENTS)
    history = fit(model, task, plan, report=show_progress, watch=seen)
    return told(history, seen, task.length)


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
    main()
