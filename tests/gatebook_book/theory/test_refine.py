"""The refine gate's band and gradient (P2 §2.3, Appendix C)."""

import pytest
import sympy
import torch
from gatebook.gates import refine as effective
from gatebook_book.theory import refine

UNIT = torch.linspace(0.002, 0.998, 250, dtype=torch.float64)
F, R = torch.meshgrid(UNIT, UNIT, indexing="ij")
G = effective(F, R)


def test_the_band_is_what_the_gate_takes_at_both_ends():
    low, high = refine.band(UNIT)
    torch.testing.assert_close(effective(UNIT, torch.zeros_like(UNIT)), low)
    torch.testing.assert_close(effective(UNIT, torch.ones_like(UNIT)), high)
    assert ((low >= 0) & (high <= 1)).all()


def test_the_refine_gate_is_recovered_from_the_effective_gate():
    torch.testing.assert_close(refine.refine_for(F, G), R)


def test_the_gate_is_two_votes_and_a_tie_break():
    torch.testing.assert_close(G, F**2 + 2 * F * (1 - F) * R)
    torch.testing.assert_close(effective(1 - F, 1 - R), 1 - G)


def test_the_gradient_is_autograds():
    x = torch.linspace(-5, 5, 41, dtype=torch.float64, requires_grad=True)
    y = torch.linspace(4, -4, 41, dtype=torch.float64, requires_grad=True)
    g = effective(x.sigmoid(), y.sigmoid())
    for found, wanted in zip(
        refine.gradient(x.sigmoid(), y.sigmoid()),
        torch.autograd.grad(g.sum(), (x, y)),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted)


def test_appendix_c_symbolically():
    f, r = sympy.symbols("f r")
    g = f + f * (1 - f) * (2 * r - 1)
    by_forget = sympy.diff(g, f) * f * (1 - f)
    by_refine = sympy.diff(g, r) * r * (1 - r)
    band = g - f**2
    printed = (
        band * (1 - 2 * f) + 2 * f**2 * (1 - f),
        band * (1 - band / (2 * f * (1 - f))),
    )
    for ours, theirs in zip((by_forget, by_refine), printed, strict=True):
        assert sympy.simplify(ours - theirs) == 0


def test_the_factorisation_behind_the_bounds():
    f, r = sympy.symbols("f r")
    g = f + f * (1 - f) * (2 * r - 1)
    s, q = r * (1 - f) + (1 - r) * f, r * (1 - r)
    assert sympy.expand(g * (1 - g) - f * (1 - f) * (s**2 + s + q)) == 0


def test_the_gradient_lies_between_one_and_two_slopes():
    slope = G * (1 - G)
    assert (refine.gradient(F, R)[0] >= slope * (1 - 1e-12)).all()
    assert (refine.gradient_norm(F, R) < 2 * slope).all()


def test_both_constants_are_the_best():
    f = torch.tensor(1 - 1e-7, dtype=torch.float64)
    for r, wanted in ((1e-9, 1.0), (1 - 1e-9, 2.0)):
        r = torch.tensor(r, dtype=torch.float64)
        g = effective(f, r)
        # 1 - g by hand: the difference would lose its digits.
        rest = (1 - f) * (1 + f - 2 * r * f)
        ratio = refine.gradient_norm(f, r) / (g * rest)
        assert ratio.item() == pytest.approx(wanted, abs=0.02)


def test_the_range_holds_every_pair_and_its_upper_end_has_a_closed_form():
    g = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    low, high = refine.gradient_range(g)
    torch.testing.assert_close(high, refine.largest_gradient(g))
    # Pairs that the range was not made from: each r, with the f that gives g.
    for r in (0.2, 0.5, 0.9):
        a = 1 - 2 * r
        root = ((r * r + a * g).sqrt() - r) / a if abs(a) > 1e-12 else g
        norm = refine.gradient_norm(root, torch.full_like(g, r))
        assert (norm >= low * (1 - 1e-4)).all()
        assert (norm <= high * (1 + 1e-9)).all()


def test_the_derivatives_in_terms_of_the_way_that_the_gate_was_moved():
    f, r = sympy.symbols("f r")
    g = f + f * (1 - f) * (2 * r - 1)
    moved, width = g - f, f * (1 - f)
    by_forget = sympy.diff(g, f) * width
    by_refine = sympy.diff(g, r) * r * (1 - r)
    assert sympy.expand(by_forget - g * (1 - g) - moved**2) == 0
    assert sympy.simplify(by_refine - (width**2 - moved**2) / (2 * width)) == 0


def test_no_pair_has_a_larger_gradient_than_the_closed_form():
    most = refine.largest_gradient(G)
    assert (refine.gradient_norm(F, R) <= most * (1 + 1e-12)).all()
    for r, side in ((1.0, UNIT >= 0.5), (0.0, UNIT <= 0.5)):
        f = 1 - (1 - UNIT).sqrt() if r else UNIT.sqrt()
        norm = refine.gradient_norm(f, torch.full_like(f, r))
        torch.testing.assert_close(
            norm[side], refine.largest_gradient(UNIT)[side], rtol=1e-9, atol=0.0
        )


def test_the_same_pre_activation_for_both_gates_squares_the_timescale():
    ordinary = 1 / (1 - UNIT)
    both = 1 / (1 - effective(UNIT, UNIT))
    torch.testing.assert_close(both, ordinary**2 / (1 + 2 * UNIT))
