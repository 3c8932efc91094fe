"""Image Match: steps of the world a second, and of agents in training.

    python bench/agents.py

prints JSON: the world's steps per second under uniform actions, for each batch size;
and for each gate the steps per second of an agent in training, of the same agent on
`torch.nn.LSTM`, and the median of their ratios, taken in pairs of batches; and the same
for an agent without a core, which no core can outrun.
"""

import json
import statistics
import time
from typing import Any

import torch
from gatebook.agents import A2C, Network, build
from gatebook.agents.training import _Training
from gatebook.match import Episodes, Match, uniform
from gatebook.random import generator
from torch import Tensor, nn

GATES = ("LSTM", "UR")


class Torchs(nn.LSTM):
    """Torch's own LSTM as a core: a step is a sequence of one step."""

    def step(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """One step of the sequence."""
        out, state = self(x[None], state)
        return out[0], state


class Nothing(nn.Module):
    """No core: its input is its output. The rest of the agent costs what it costs."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.output_width = hidden_size

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The input, and no state."""
        return x, None

    step = forward


def world(match: Match, batch_size: int, seconds: float) -> float:
    """Steps a second; the best of several stretches, each of them whole batches."""
    best, g = 0.0, generator(0)
    for k in range(5):
        steps, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds / 5:
            episodes = Episodes(match, batch_size, 0, k, steps)
            while not episodes.done:
                episodes.step(uniform(episodes, g))
                episodes.pixels()
            steps += batch_size * match.length
        best = max(best, steps / (time.perf_counter() - started))
    return best


def agents(match: Match, hidden: int, batch_size: int, rounds: int) -> list[dict]:
    """One row for each gate: one batch of ours, one on torch's, and so on."""
    cores = {gate: build("LSTM", hidden, gate=gate) for gate in GATES}
    cores["no core"] = Network(Nothing(64))
    recipe = A2C(10**6, batch_size, note_every=10**6)
    torch.manual_seed(0)
    theirs = _begun(Network(Torchs(64, hidden)), match, recipe)
    found = []
    for gate, network in cores.items():
        ours = _begun(network, match, recipe)
        pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(rounds)]
        best = [min(times) for times in zip(*pairs, strict=True)]
        steps = batch_size * match.length
        row = {"gate": gate, "ours": steps / best[0], "torch": steps / best[1]}
        found.append(row | {"ratio": statistics.median(b / a for a, b in pairs)})
    return found


def _begun(network: Network, match: Match, recipe: A2C) -> _Training:
    run = _Training(network, match, recipe, 0, None, None)
    run.begin()
    for _ in range(3):
        run.advance()
    return run


def _seconds(run: _Training) -> float:
    started = time.perf_counter()
    run.advance()
    return time.perf_counter() - started


def main(seconds: float = 5.0, rounds: int = 100) -> dict[str, Any]:
    """All figures, of the reduced setting with D = 20."""
    match = Match(explore=3)
    return {
        "threads": torch.get_num_threads(),
        "world": {b: world(match, b, seconds) for b in (64, 256, 1024)},
        "agents": agents(match, hidden=64, batch_size=64, rounds=rounds),
    }


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
