"""An epoch of P1's language model against the same model on `torch.nn.LSTM`, paired.

    python bench/language.py [--gate LSTM0 ...] [--rounds 7] [--threads 2] [--store]

24 million weights, a batch of 20, windows of 70 steps, on random words. Both sides
have the same embedding, dropouts, head and optimiser; torch's layers have no weight
drop. Each of our steps stands between two of torch's, and a figure is the median of
the ratios. An epoch of Penn Treebank is 664 such steps.
"""

import argparse
import os
import statistics
import time

import torch
from gatebook.language.model import Hidden, LanguageModel, State
from gatebook.language.recipe import Recipe
from gatebook.language.train import penalty
from gatebook_book.runs.provenance import commit
from keep import keep
from torch import Tensor, nn

VOCABULARY, WIDTH, HIDDEN = 10_000, 400, 1150
STEPS, BATCH = 70, 20
STEPS_OF_AN_EPOCH = 929_589 // (STEPS * BATCH)


class OnTorch(LanguageModel):
    """The same model with torch's layers, which have no weight drop."""

    def __init__(self) -> None:
        super().__init__(VOCABULARY, WIDTH, HIDDEN, weight_drop=0.0)
        self.layers = nn.ModuleList(layer.to_torch() for layer in self.layers)

    def forward(self, ids: Tensor, state: State, begins: Tensor | None = None):
        """As `LanguageModel.forward`, without articles."""
        x, new = self._embed(ids), []
        for depth, (layer, before) in enumerate(zip(self.layers, state, strict=True)):
            p = self.dropouts.input if depth == 0 else self.dropouts.hidden
            x, after = layer(self._locked(x, p), before)
            new.append(after)
        return Hidden(x, self._locked(x, self.dropouts.output), new)

    @property
    def hidden_sizes(self) -> list[int]:
        """H of each layer."""
        return [layer.hidden_size for layer in self.layers]


class Side:
    """A model that takes timed steps."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model.train()
        self.optimizer = torch.optim.SGD(model.parameters(), 30.0, weight_decay=1.2e-6)
        self.state = model.start(BATCH)

    def step(self) -> float:
        """Seconds of one training step."""
        ids = torch.randint(VOCABULARY, (STEPS + 1, BATCH))
        started = time.perf_counter()
        hidden = self.model(ids[:-1], self.state)
        loss = self.model.mean_nll(hidden.dropped, ids[1:])
        self.optimizer.zero_grad(set_to_none=True)
        (loss + penalty(hidden, Recipe(1))).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 0.25)
        self.optimizer.step()
        return time.perf_counter() - started


def compare(gate: str, rounds: int) -> dict[str, float]:
    """The median ratio of our step to torch's, its range, and the seconds."""
    theirs = Side(OnTorch())
    ours = Side(LanguageModel(VOCABULARY, WIDTH, HIDDEN, gate=gate))
    for side in (theirs, ours):
        side.step()
    ratios, seconds, before = [], [], theirs.step()
    for _ in range(rounds):
        mine, after = ours.step(), theirs.step()
        ratios.append(2 * mine / (before + after))
        seconds.append(mine)
        before = after
    return {
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "epoch": statistics.median(seconds) * STEPS_OF_AN_EPOCH,
    }


def main() -> None:
    """Measure, print, and store if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gate", action="append")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--store", action="store_true", help="keep the figures")
    o = parser.parse_args()
    commit()  # remembered now: the checkout may be edited while the run goes on
    torch.set_num_threads(o.threads)
    load, rows = os.getloadavg()[0], []
    for gate in o.gate or ["LSTM0", "sharpened", "G2", "UR"]:
        rows.append({"gate": gate, **compare(gate, o.rounds)})
        print(rows[-1], flush=True)
    found = {
        "status": "finished",
        "metrics": {f"ratio {row['gate']}": row["ratio"] for row in rows},
        "timings": rows,
        "load": {"before": load, "after": os.getloadavg()[0]},
    }
    if o.store:
        keep("language/awd", o.threads, found)


if __name__ == "__main__":
    main()
