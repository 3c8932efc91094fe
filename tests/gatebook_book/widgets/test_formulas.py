"""What the browser computes is what the library computes, on grids."""

from itertools import product

import numpy as np
import pytest
import torch
from gatebook import inside
from gatebook_book.tasks.pixels import bit_reversal
from gatebook_book.theory import detach, gate, gumbel, laws, refine, timescales
from gatebook_book.widgets.base import uniforms
from gatebook_book.widgets.gate_words import packed
from gatebook_book.widgets.pixel_order import PixelOrder, digits
from gatebook_book.widgets.pixel_order import packed as packed_shades
from gatebook_book.widgets.rank_cost import RANKS
from torch import Tensor

ALPHAS = [-4.0, -1.5, 0.0, 0.3, 4.0]
TAUS = [0.1, 0.5, 0.9, 2.0]
GATES = [0.01, 0.1, 0.37, 0.5, 0.9, 0.99, 0.999]
UNIT = [0.0, 0.2, 0.5, 0.77, 1.0]


def real(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def same(found, wanted):
    wanted = torch.stack([torch.as_tensor(w, dtype=torch.float64) for w in wanted])
    found = torch.tensor(found, dtype=torch.float64)
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["cdf", "pdf"])
def test_law_of_the_noisy_gate(in_node, name):
    rows = list(product(GATES, ALPHAS, TAUS))
    law = getattr(gumbel, name)
    wanted = [law(real(g), real(alpha), tau) for g, alpha, tau in rows]
    same(in_node("noisy_gate", name, rows), wanted)


@pytest.mark.parametrize(
    ("name", "bounds"),
    [("openBounds", gumbel.open_bounds), ("shutBounds", gumbel.shut_bounds)],
)
def test_bounds_of_the_noisy_gate(in_node, name, bounds):
    rows = list(product(ALPHAS, TAUS, [0.01, 0.1, 0.3, 0.49]))
    found = [bounds(real(alpha), *rest) for alpha, *rest in rows]
    wanted = [torch.stack([b.lower, b.exact, b.upper]) for b in found]
    same(in_node("noisy_gate", name, rows), wanted)


def test_a_sample_of_the_noisy_gate(in_node):
    rows = list(product([0.001, 0.4, 0.98], [0.1, 0.7], ALPHAS, TAUS, [0.0, 0.5, 1.0]))
    wanted = [
        ((alpha + (v < p) * real(u).logit()) / tau).sigmoid()
        for u, v, alpha, tau, p in rows
    ]
    same(in_node("noisy_gate", "sample", rows), wanted)


def test_band_of_the_refine_gate(in_node):
    rows = [(f,) for f in GATES]
    wanted = [torch.stack(refine.band(real(f))) for f in GATES]
    same(in_node("refine_band", "band", rows), wanted)


def test_the_effective_gate_is_what_appendix_c_inverts(in_node):
    rows = list(product(GATES, UNIT))
    effective = in_node("refine_band", "effective", rows)
    pairs = zip(rows, effective, strict=True)
    found = [refine.refine_for(real(f), real(g)).item() for (f, _), g in pairs]
    same(found, [r for _, r in rows])


def test_timescales_of_the_refine_gate(in_node):
    rows = list(product(GATES, UNIT))
    effective = in_node("refine_band", "effective", rows)
    same(in_node("refine_band", "refined", rows), [1 / (1 - g) for g in effective])
    ends = [refine.band(real(f)) for f in GATES]
    wanted = [1 / (1 - torch.stack(pair)) for pair in ends]
    same(in_node("refine_band", "reach", [(f,) for f in GATES]), wanted)


def test_gradient_of_the_refine_gate(in_node):
    rows = list(product(GATES, UNIT))
    wanted = [refine.gradient_norm(real(f), real(r)) for f, r in rows]
    same(in_node("refine_band", "gradientNorm", rows), wanted)


def test_a_dragged_point_of_the_band_finds_its_refine_gate(in_node):
    rows = list(product(GATES[1:], UNIT))
    values = zip(rows, in_node("refine_band", "effective", rows), strict=True)
    points = [(f, g, r) for (f, r), g in values]
    found = in_node("refine_band", "refineFor", [(f, g) for f, g, _ in points])
    assert found == pytest.approx([r for *_, r in points], abs=1e-9)
    periods = [(1 / (1 - f), 1 / (1 - g)) for f, g, _ in points]
    found = in_node("refine_band", "refineForPeriod", periods)
    assert found == pytest.approx([r for *_, r in points], abs=1e-9)
    outside = [(0.5, 0.1), (0.5, 0.9)]
    assert in_node("refine_band", "refineFor", outside) == [0, 1]


def test_the_orders_of_the_pixels(in_node):
    sizes = [(2,), (12,), (196,), (784,)]
    wanted = [bit_reversal(n).tolist() for (n,) in sizes]
    assert in_node("pixel_order", "bitReversal", sizes) == wanted
    (found,) = in_node("pixel_order", "permutation", [(784, 5)])
    assert found == PixelOrder(seed=5).drawn_order().tolist()
    assert sorted(found) == list(range(784))


def test_digits_come_back_and_their_ink_is_counted(in_node):
    three = digits()[3]
    (found,) = in_node("pixel_order", "unpacked", [(packed_shades(three),)])
    assert found == three.tolist()
    order = bit_reversal(784)
    rows = [(found, order.tolist(), step) for step in (1, 100, 300, 784)]
    read = [three[order[max(0, step - 196) : step]].sum() for *_, step in rows]
    same(in_node("pixel_order", "inkRead", rows), np.array(read) / three.sum())


def test_the_rise_of_a_cut_model_and_the_rank_nearest_to_a_place(in_node):
    assert in_node("rank_cost", "ranks", [()]) == [list(RANKS)]
    rows = [([3.0, 4.0, 9.0], [2.0, 2.0, 3.0]), ([1.0, 4.0], [1.0, 2.0])]
    assert in_node("rank_cost", "rise", rows) == [1.0, 0.5]
    near = [(1,), (5,), (6,), (70,), (300,)]
    assert in_node("rank_cost", "placeOf", near) == [1, 1, 2, 5, 5]


def test_memory_of_a_unit(in_node):
    rows = list(product([-2.0, 0.0, 1.0, 4.6, 8.0], [1, 2, 10, 100, 1000]))
    wanted = [gate.share_left(real(b), k) for b, k in rows]
    same(in_node("unit_memory", "shareLeft", rows), wanted)
    wanted = [gate.gradient(real(b), k) for b, k in rows]
    same(in_node("unit_memory", "gradient", rows), wanted)
    found = in_node("unit_memory", "largest", [(k,) for k in (1, 10, 1000)])
    same(found, [gate.largest_gradient(k)[1] for k in (1, 10, 1000)])
    biases = [(-2.0,), (1.0,), (8.0,)]
    periods = in_node("unit_memory", "period", biases)
    same(periods, [1 / (1 - real(b).sigmoid()) for (b,) in biases])
    same(
        in_node("unit_memory", "biasFor", [(D,) for D in periods]),
        [b for (b,) in biases],
    )
    same(
        in_node("unit_memory", "decay", biases),
        [-1 / real(b).sigmoid().log() for (b,) in biases],
    )


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("constant", [-2.0, 0.0, 1.0, 8.0]),
        ("chrono", [3.0, 784.0, 10_000.0]),
        ("uniform", [3, 512, 4096]),
        ("cumax", [3, 10, 512, 4096]),
    ],
)
def test_laws_of_the_timescale(in_node, name, second):
    # With the places where the laws jump or end: 2, 3, 5 and 512.
    lengths = [1.0, 1.3, 2.0, 3.0, 5.0, 100.0, 511.5, 512.0, 513.0, 784.0, 1e4]
    rows = list(product(lengths, second))
    law = getattr(timescales, name)
    same(in_node("timescales", name, rows), [law(real(x), y) for x, y in rows])


def test_laws_of_the_models(in_node):
    assert in_node("horizon", "names", [()]) == [list(laws.LAWS)]
    lengths = [1.0, 1.4, 1.5, 3.0, 11.4, 11.6, 23.0, 23.2, 100.0, 999.0, 1e4]
    rows = list(product(laws.LAWS, lengths))
    wanted = [laws.LAWS[name].survival(real(x)) for name, x in rows]
    same(in_node("horizon", "survival", rows), wanted)
    wanted = [laws.LAWS[name].served(real(x)) for name, x in rows]
    same(in_node("horizon", "served", rows), wanted)


def test_paths_under_h_detach(in_node):
    rows = list(product([2, 3, 20, 32], UNIT))
    wanted = [detach.expected_paths(*row) for row in rows]
    same(in_node("detach_paths", "expectedPaths", rows), wanted)
    for row, law in zip(rows, in_node("detach_paths", "visitLaw", rows), strict=True):
        same(law, list(detach.visit_law(*row)))


def paths(steps: int, cut: set[int]) -> int:
    """Paths from c_0 to c_T, one by one: c or h at each step, no way out if cut."""
    ways = {"c": 1, "h": 0}
    for t in range(1, steps + 1):
        reached = ways["c"] + (0 if t in cut else ways["h"])
        ways = {"c": reached, "h": reached}
    return ways["c"]


def test_a_draw_cuts_more_with_p_and_leaves_the_paths_that_a_walk_finds(in_node):
    uniforms = torch.rand(31, dtype=torch.float64).tolist()
    ps = [0.0, 0.1, 0.25, 0.6, 1.0]
    for steps in (2, 7, 32):
        rows = [(uniforms, steps, p) for p in ps]
        found = [set(cut) for cut in in_node("detach_paths", "cuts", rows)]
        assert found[0] == set() and found[-1] == set(range(2, steps + 1))
        for p, cut in zip(ps, found, strict=True):
            assert cut == {t for t in range(2, steps + 1) if uniforms[t - 2] < p}
        survivors = in_node("detach_paths", "survivors", rows)
        assert survivors == [paths(steps, cut) for cut in found]


def test_the_browser_draws_what_python_draws(in_node):
    seeds = [0, 1, 7, 2**31, 2**32 - 1, 2**40]
    found = in_node("detach_paths", "uniforms", [(seed, 50) for seed in seeds])
    for seed, draws in zip(seeds, found, strict=True):
        assert draws == uniforms(seed, 50).tolist()


def test_packed_gates_come_back_within_half_a_level(in_node):
    gates = torch.rand(40, generator=torch.Generator().manual_seed(0)).tolist()
    (found,) = in_node("gate_words", "unpacked", [(packed([0.0, *gates, 1.0]),)])
    assert found == pytest.approx([0.0, *gates, 1.0], abs=0.5 / 63 + 1e-9)


@pytest.mark.parametrize(("word", "alignment"), [(1, "read"), (2, "predicted")])
def test_gates_over_words_as_in_the_library(in_node, word, alignment):
    steps, word_of = [0.9, 0.2, 0.4, 0.7, 0.1], [0, 1, 1, 2]
    (found,) = in_node("gate_words", "overWords", [(steps, word_of, word)])
    column = torch.tensor(steps, dtype=torch.float64)[:, None]
    same(found, inside.over_words(column, word_of, alignment)[:, 0])


def test_the_auc_of_a_verse_as_in_the_library(in_node):
    rng = np.random.default_rng(0)
    rows = [(rng.integers(0, 4, 9) / 3, rng.random(9) < 0.4) for _ in range(12)]
    wanted = [inside.auc_within(*row, np.zeros(9, int)) for row in rows]
    rows = [row for row, auc in zip(rows, wanted, strict=True) if len(auc)]
    given = [(values.tolist(), flags.tolist()) for values, flags in rows]
    same(in_node("gate_words", "auc", given), [float(a[0]) for a in wanted if len(a)])


def test_the_smallest_gate_comes_first_and_equal_ones_keep_their_order(in_node):
    (found,) = in_node("gate_words", "ascending", [([0.5, 0.1, 0.5, 0.3],)])
    assert found == [1, 3, 0, 2]
