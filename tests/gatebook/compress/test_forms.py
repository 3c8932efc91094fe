"""Packed bits, and each scheme against torch and against the papers' equations."""

import hypothesis
import pytest
import torch
from gatebook.compress import LowRank, Quantise, Round
from gatebook.compress.forms import Dense, Factors, Levels, Scaled, pack, unpack
from hypothesis import strategies as st

sizes = st.integers(1, 40)
F64 = {"dtype": torch.float64}


@hypothesis.given(
    bits=st.integers(1, 20), count=st.integers(0, 60), seed=st.integers(0)
)
@hypothesis.settings(max_examples=50, deadline=None)
def test_packed_codes_come_back(bits, count, seed):
    g = torch.Generator().manual_seed(seed % 2**62)
    codes = torch.randint(2**bits, (count,), generator=g)
    packed = pack(codes, bits)
    assert packed.numel() == -(-count * bits // 8)
    assert torch.equal(unpack(packed, bits, count), codes)


def test_packed_bits_stand_highest_first():
    assert pack(torch.tensor([1, 2, 3]), 2).tolist() == [0b01101100]
    assert pack(torch.tensor([0, 0]), 0).tolist() == []
    assert unpack(torch.zeros(0, dtype=torch.uint8), 0, 2).tolist() == [0, 0]


# -- rounding ----------------------------------------------------------------------


@hypothesis.given(m=sizes, n=sizes, step=st.floats(0.05, 2), clip=st.booleans())
@hypothesis.settings(max_examples=50, deadline=None)
def test_rounding_is_that_of_the_papers_code(m, n, step, clip):
    w = torch.randn(m, n)
    form = Round(step, 2 * step if clip else None).encode(w)
    clipped = w.clamp(-2 * step, 2 * step) if clip else w
    assert torch.equal(form.decode(), (clipped / step).round() * step)


def test_clipping_before_and_after_rounding_is_the_same_at_two_steps():
    w = 2 * torch.randn(50, 50, **F64)
    first = Round(0.2, 0.4).encode(w).decode()
    last = ((w / 0.2).round() * 0.2).clamp(-0.4, 0.4)
    torch.testing.assert_close(first, last, rtol=0, atol=1e-15)


def test_rounding_and_clipping_leaves_five_levels_in_three_bits():
    form = Round(0.2, 0.4).encode(torch.randn(64, 64))
    assert isinstance(form, Levels)
    expected = torch.tensor([-0.4, -0.2, 0.0, 0.2, 0.4])
    torch.testing.assert_close(form.levels, expected)
    assert form.codes.numel() == 64 * 64 * 3 // 8
    assert form.bytes == 64 * 64 * 3 // 8 + 5 * 4


def test_weights_far_below_the_step_take_no_bits():
    form = Round(0.2).encode(torch.full((30, 30), -0.01))
    assert form.bytes == 4 and not form.decode().any()
    assert not form.decode().signbit().any()


def test_a_step_that_leaves_every_entry_different_stores_the_matrix():
    assert isinstance(Round(1e-6).encode(torch.randn(20, 20)), Dense)


# -- low rank ----------------------------------------------------------------------


@hypothesis.given(m=st.integers(2, 40), n=st.integers(2, 40), data=st.data())
@hypothesis.settings(max_examples=50, deadline=None)
def test_low_rank_keeps_the_largest_singular_values(m, n, data):
    rank = data.draw(st.integers(1, min(m, n) - 1))
    w = torch.randn(m, n, **F64)
    form = LowRank(rank).encode(w)
    low = form.decode()
    s = torch.linalg.svdvals(w)
    kept = torch.linalg.svdvals(low)
    torch.testing.assert_close(kept[:rank], s[:rank])
    torch.testing.assert_close(kept[rank:], torch.zeros_like(kept[rank:]))
    torch.testing.assert_close((w - low).norm(), s[rank:].norm())  # Eckart, Young
    assert form.numbers == LowRank(rank).numbers(m, n)


def test_low_rank_is_that_of_the_papers_code():
    w = torch.randn(30, 20)
    u, s, vt = torch.linalg.svd(w)
    expected = (u[:, :20] * s)[:, :3] @ vt[:3]
    torch.testing.assert_close(LowRank(3).encode(w).decode(), expected)


def test_the_full_rank_is_the_matrix_itself():
    w = torch.randn(7, 12)
    for rank in (7, 100):
        form = LowRank(rank).encode(w)
        assert isinstance(form, Dense) and torch.equal(form.decode(), w)


def test_factors_are_stored_only_where_they_are_smaller():
    w = torch.randn(10, 10)
    assert isinstance(LowRank(4).encode(w), Factors)  # 80 numbers
    assert isinstance(LowRank(5).encode(w), Dense)  # 100


# -- the papers' rates -------------------------------------------------------------

P1_SHAPES = [(1150, 400), (1150, 1150), (400, 1150)]
"""One gate's W_x in each of P1's three layers; W_h is square."""


def test_twelve_times_at_rank_64_holds_for_one_layer_counted_jointly():
    rank = LowRank(64)
    before = sum(m * n + m * m for m, n in P1_SHAPES)
    apart = sum(rank.numbers(m, n) + rank.numbers(m, m) for m, n in P1_SHAPES)
    assert before == 5_047_500 and apart == 691_200
    assert before / apart == pytest.approx(7.30, abs=0.01)  # as the code does
    square = 1150**2 / rank.numbers(1150, 1150)
    assert square == pytest.approx(8.98, abs=0.01)
    jointly = 1150 * 2300 / rank.numbers(1150, 2300)
    assert jointly == pytest.approx(11.98, abs=0.01)  # the paper's "roughly 12x"
    all_jointly = sum(rank.numbers(m, n + m) for m, n in P1_SHAPES)
    assert before / all_jointly == pytest.approx(9.74, abs=0.01)


@pytest.mark.parametrize(("units", "times"), [(256, 8), (1024, 32)])
def test_the_rates_in_translation_are_those_of_square_matrices(units, times):
    assert units**2 / LowRank(16).numbers(units, units) == times


# -- integers ----------------------------------------------------------------------


@hypothesis.given(m=sizes, n=sizes, bits=st.integers(2, 8))
@hypothesis.settings(max_examples=50, deadline=None)
def test_integers_are_off_by_half_a_scale_at_most(m, n, bits):
    w = torch.randn(m, n, **F64)
    form = Quantise(bits).encode(w)
    scale = w.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
    assert ((form.decode() - w).abs() <= scale / 2 + 1e-12).all()
    if isinstance(form, Scaled):
        assert form.codes.numel() == -(-m * n * bits // 8)
        assert form.bytes == form.codes.numel() + 8 * m


def test_integers_keep_signs_zeros_and_the_largest_entry():
    w = torch.tensor([[0.0, 1.0, -0.5, 0.25] * 4, [0.0] * 16])
    again = Quantise(8).encode(w).decode()
    assert again[0, :2].tolist() == [0.0, 1.0] and not again[1].any()
    torch.testing.assert_close(Quantise(8).encode(-w).decode(), -again)


# -- errors ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LowRank(0), "rank is 0; allowed: an integer >= 1"),
        (lambda: Round(0), "step is 0; allowed: a finite number > 0"),
        (lambda: Round(0.2, -1), "clip is -1; allowed"),
        (lambda: Quantise(9), "bits is 9; allowed: a number from 2 to 8"),
        (lambda: Quantise(1), "bits is 1; allowed"),
    ],
)
def test_values_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
