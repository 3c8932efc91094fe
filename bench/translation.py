"""Translation on `gatebook.LSTM` against the same model on torch's, paired.

    python bench/translation.py [--gate LSTM0 ...] [--rounds 9] [--threads 2] [--store]

A million weights, embeddings and layers of 128 units, 4,000 pieces, batches of 2,000
places with sentences of 12 to 18 random pieces. Both sides have the same weights,
attention, loss and optimiser. Each of our steps stands between two of torch's; a figure
is the median of the ratios of tokens a second, so that above 1 we are faster. `search`
compares a beam of 5 with greedy choice on 300 verses, in turns.
"""

import argparse
import copy
import os
import statistics
import time

import torch
from gatebook.rnn.module import LSTM
from gatebook.translate.base import TranslationModel
from gatebook.translate.batches import Batch, batch_of
from gatebook.translate.corpus import Pairs
from gatebook.translate.model import Translator
from gatebook.translate.recipe import Recipe
from gatebook.translate.search import translate
from gatebook.translate.train import fit
from gatebook_book.data.bitexts import corpus
from gatebook_book.runs.provenance import commit
from keep import keep
from torch import nn

VOCABULARY, WIDTH, HIDDEN = 4000, 128, 128
SENTENCES = 300
UPDATES = 300


def on_torch(model: TranslationModel) -> TranslationModel:
    """The same model with torch's layers and the same weights."""
    found = copy.deepcopy(model)
    for side in (found.encoder, found.decoder):
        for k, layer in enumerate(side):
            assert isinstance(layer, LSTM)
            side[k] = layer.to_torch().train()
    return found


def batches(count: int) -> list[Batch]:
    """Batches of about 2,000 places, with source and target of nearly one length."""
    found = []
    for k in range(count):
        length = 12 + k % 7
        sides = [
            torch.randint(2, VOCABULARY, (2000 // length, length - j)).tolist()
            for j in range(2)
        ]
        source, target = ([[*row[:-1], 0] for row in side] for side in sides)
        pairs = Pairs(source, target, list(range(len(source))))
        found.append(batch_of(pairs, pairs.lines))
    return found


class Side:
    """A model that takes timed steps."""

    def __init__(self, model: TranslationModel) -> None:
        self.model = model.train()
        self.optimizer = torch.optim.Adam(model.parameters(), 3e-3)

    def step(self, batch: Batch) -> float:
        """Seconds of one training step."""
        started = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        self.model.nll(batch).mean().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimizer.step()
        return time.perf_counter() - started


def compare(gate: str, rounds: int) -> dict[str, float | str]:
    """Our tokens per second over torch's: median and range; and tokens per second."""
    plain = on_torch(Translator(VOCABULARY, WIDTH, HIDDEN, gate="LSTM0"))
    sides = Side(plain), Side(Translator(VOCABULARY, WIDTH, HIDDEN, gate=gate))
    theirs, ours = sides
    given = batches(rounds)
    for side in sides:
        side.step(given[0])
    ratios, speeds = [], []
    for batch in given:
        before, mine, after = theirs.step(batch), ours.step(batch), theirs.step(batch)
        ratios.append((before + after) / 2 / mine)
        speeds.append(int(batch.target_lengths.sum()) / mine)
    return {
        "gate": gate,
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "tokens": statistics.median(speeds),
    }


def search(rounds: int) -> dict[str, float]:
    """Time of a beam of 5 over that of greedy choice, each one's best of the rounds.

    On verses, with a model that has learnt when to end: how soon hypotheses end decides
    how many rows a search has.
    """
    text = corpus()
    model = Translator(text.subwords.size, WIDTH, HIDDEN)
    fit(model, text, Recipe(UPDATES, tokens=700, checks=1))
    sources = text.test.source[:SENTENCES]
    seconds: dict[int, list[float]] = {1: [], 5: []}
    for _ in range(rounds):
        for beam, own in seconds.items():
            started = time.perf_counter()
            translate(model, sources, beam=beam)
            own.append(time.perf_counter() - started)
    greedy, beam = (min(own) for own in seconds.values())
    return {"greedy": greedy, "beam": beam, "times": beam / greedy}


def main() -> None:
    """Measure, print, and store if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gate", action="append")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--store", action="store_true", help="keep the figures")
    o = parser.parse_args()
    commit()  # remembered now: the checkout may be edited while the run goes on
    torch.set_num_threads(o.threads)
    torch.manual_seed(0)
    load, rows = os.getloadavg()[0], []
    for gate in o.gate or ["LSTM0", "sharpened", "G2", "UR"]:
        rows.append(compare(gate, o.rounds))
        print(rows[-1], flush=True)
    beam = search(min(o.rounds, 3))
    print(beam)
    found = {
        "status": "finished",
        "metrics": {f"ratio {row['gate']}": row["ratio"] for row in rows}
        | {"beam": beam["times"]},
        "timings": rows,
        "search": beam,
        "load": {"before": load, "after": os.getloadavg()[0]},
    }
    if o.store:
        keep("language/translation", o.threads, found)


if __name__ == "__main__":
    main()
