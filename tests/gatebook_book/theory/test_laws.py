"""Laws of timescales at the start, against draws as the public codes make them."""

import math

import pytest
import torch
from gatebook_book.theory.kolmogorov import allowed, distance
from gatebook_book.theory.laws import LAWS

COUNT = 20_000


def draws():
    torch.manual_seed(0)
    u, v = torch.rand(2, COUNT, dtype=torch.float64)
    step = torch.exp(math.log(0.001) + math.log(100) * v)
    f = {
        "UGI": 1 / 512 + u * (1 - 2 / 512),
        "chrono": torch.log(1 + 998 * u).sigmoid(),
        "S4": torch.exp(-step / 2),
        "Mamba": torch.exp(-step * (1 + (16 * u).floor())),
        "Mamba-2": torch.exp(-step * (1 + 15 * u)),
        "GDN": torch.exp(-step * 16 * u),
        "LRU": u.sqrt(),
        "RG-LRU": (0.81 + (0.998001 - 0.81) * u).sqrt() ** 4,
        "RG-LRU paper": (0.9 + 0.099 * u) ** 0.5,
        "sLSTM": (5 - 12 * u**0.3).sigmoid(),
        "sLSTM last": (5 - 12 * u**1.6).sigmoid(),
        "RWKV-6": torch.exp(-torch.exp(-6 + 5 * u**0.7)),
        "RWKV-6 last": torch.exp(-torch.exp(-6 + 5 * u**2)),
    }
    return {name: -1 / gates.log() for name, gates in f.items()}


DRAWN = draws()


@pytest.mark.parametrize("name", DRAWN)
def test_a_law_is_that_of_the_draws(name):
    law = LAWS[name]
    gap = distance(DRAWN[name], lambda x: 1 - law.survival(x))
    assert gap < allowed(COUNT)
    horizon = torch.tensor(30.0, dtype=torch.float64)
    share = ((DRAWN[name] > 15) & (DRAWN[name] < 60)).double().mean().item()
    assert law.served(horizon).item() == pytest.approx(share, abs=0.02)


GRIDS = {
    "mLSTM": [20.6, 55.1, 148.9, 403.9],
    "RetNet": [31.5, 63.5, 127.5, 255.5, 511.5, 1023.5, 2047.5, 4095.5],
    "HGRN": [1.443, 1.855, 2.466, 3.476, 5.485, 11.49],
    "GLA": [23.08],
    "minGRU": [1.4427],
}


@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_steps_at_each_of_its_timescales(name):
    assert GRIDS.keys() | DRAWN.keys() == LAWS.keys()
    periods = torch.tensor(GRIDS[name], dtype=torch.float64)
    for side, count in ((0.99, len(periods)), (1.01, len(periods) - 1)):
        found = LAWS[name].survival(side * periods) * len(periods)
        wanted = torch.arange(count, count - len(periods), -1, dtype=torch.float64)
        torch.testing.assert_close(found.double(), wanted)
