"""What the widgets ask their readers to find is there, or is not, as they say."""

import math

import numpy as np
import pytest
import torch
from gatebook import inside
from gatebook_book.tasks.pixels import bit_reversal
from gatebook_book.theory import detach, gate, gumbel, laws, refine, timescales
from gatebook_book.widgets.base import module
from gatebook_book.widgets.gate_words import DIGITS, stored_sentences
from gatebook_book.widgets.pixel_order import digits
from gatebook_book.widgets.rank_cost import RANKS, stored_costs


def real(value):
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("refine_band", "more than twice"),
        ("timescales", "jumps from no unit"),
        ("noisy_gate", "equally often"),
        ("detach_paths", "fewer than 1,000 of the half a million"),
        ("horizon", "a horizon of 1,000 steps best"),
        ("rank_cost", "the largest rank at which G² has a lower perplexity"),
        ("pixel_order", "reads more in rows than by bit reversal"),
        ("unit_memory", "learns fastest to keep an input for 100 steps"),
        ("gate_words", "both shares below are a half or less"),
    ],
)
def test_each_widget_poses_the_task_that_is_checked_here(name, words):
    assert words in " ".join(module(name).replace('" +', "").replace('"', "").split())


def test_no_refine_gate_doubles_the_gradient():
    f = torch.linspace(0.01, 0.999, 500, dtype=torch.float64)[:, None]
    r = torch.linspace(0, 1, 101, dtype=torch.float64)
    low, high = refine.band(f)
    g = low + r * (high - low)
    ratio = refine.gradient_norm(f, r) / (g * (1 - g))
    assert 1.9 < ratio.max() < 2


def test_a_tenth_of_bias_takes_the_constant_law_from_none_to_all():
    shares = [timescales.constant(real(100.0), b / 10) for b in range(-20, 81)]
    assert shares == sorted(shares) and set(map(float, shares)) == {0.0, 1.0}
    assert math.log(99) == pytest.approx(4.6, abs=0.01)  # b = ln(z - 1)


def test_only_at_temperature_one_the_density_is_flat():
    g = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    for tau in range(10, 201):
        density = gumbel.pdf(g, real(0.0), tau / 100)
        flat = torch.allclose(density, torch.ones_like(g))
        assert flat == (tau == 100)


def test_one_bias_learns_fastest_and_the_customary_one_hardly():
    biases = torch.arange(-20, 81, dtype=torch.float64) / 10
    gradients = gate.gradient(biases, 100)
    assert biases[gradients.argmax()] == pytest.approx(4.6)
    assert gate.gradient(real(1.0), 100) < 1e-11 * gradients.max()


def test_more_than_half_must_be_detached_for_few_paths():
    assert 2**19 == 524_288
    fewer = [detach.expected_paths(20, p / 100) < 1000 for p in range(101)]
    assert fewer.index(True) == 57 and not fewer[50] and all(fewer[57:])


def test_the_best_laws_for_long_and_for_short_horizons_differ():
    def best(horizon):
        return max(laws.LAWS, key=lambda n: float(laws.LAWS[n].served(real(horizon))))

    assert (best(1000.0), best(10.0)) == ("chrono", "RG-LRU")


def test_g2_is_ahead_of_the_baseline_up_to_one_rank():
    costs = stored_costs()
    assert all(len(cut) == 3 for found in costs.values() for cut in found)
    ahead = [
        np.median(g2) < np.median(base)
        for g2, base in zip(costs["G2"], costs["LSTM0"], strict=True)
    ]
    assert dict(zip(RANKS, ahead, strict=True)) == {
        4: True,
        7: True,
        14: True,
        32: False,
        128: False,
    }


def test_one_digit_has_its_ink_at_the_bottom():
    last = {"rows": np.arange(784)[-196:], "reversed": bit_reversal(784)[-196:]}
    read = {name: digits()[:, places].sum(1) for name, places in last.items()}
    assert (read["rows"] > read["reversed"]).nonzero()[0].tolist() == [2]


def test_one_verse_has_no_smaller_gates_at_its_boundaries():
    found = [small_at_boundaries(one) for one in stored_sentences()["sentences"]]
    wanted = [k for k, auc in enumerate(found) if auc and max(auc) <= 0.5]
    assert len(wanted) == 1


def small_at_boundaries(sentence):
    """The shares of both models, layer 1, word read; none without a boundary."""
    classes = np.array(sentence["classes"])
    kept = (np.arange(len(classes)) > 0) & (classes != "final mark")
    marked = np.isin(classes[kept], inside.BOUNDARY)
    shares = []
    for model in ("LSTM0", "G2"):
        text = sentence["gates"][model]["forget 1"]["mean"]
        steps = torch.tensor([[DIGITS.index(c) / 63] for c in text])
        words = inside.over_words(steps, sentence["word_of"], "read")[:, 0].numpy()
        shares += list(
            inside.auc_within(words[kept], marked, np.zeros(kept.sum(), int))
        )
    return shares
