"""The Python side of the widgets: values, draws, and what is sent to the browser."""

import json
import re

import numpy as np
import pytest
import torch
from gatebook_book.figures.plots import COLOURS
from gatebook_book.theory import gumbel
from gatebook_book.widgets import (
    DetachPaths,
    GateWords,
    Horizon,
    NoisyGate,
    PixelOrder,
    RankCost,
    RefineBand,
    Timescales,
    UnitMemory,
)
from gatebook_book.widgets.base import Slider, module, sheet
from gatebook_book.widgets.gate_words import stored_sentences
from gatebook_book.widgets.pixel_order import digits
from scipy import stats

WIDGETS = [DetachPaths, GateWords, Horizon, NoisyGate, RefineBand, Timescales]
WIDGETS += [PixelOrder, RankCost, UnitMemory]
MODULES = [
    "detach_paths",
    "gate_words",
    "horizon",
    "noisy_gate",
    "pixel_order",
    "rank_cost",
    "refine_band",
    "timescales",
    "unit_memory",
]
SLIDERS = [(kind, name) for kind in WIDGETS for name in kind.ranges()]


@pytest.mark.parametrize(("kind", "name"), SLIDERS)
def test_both_ends_are_allowed_and_nothing_beyond(kind, name):
    low, high = (kind.ranges()[name][end] for end in ("low", "high"))
    for value in (low, high):
        assert getattr(kind(**{name: value}), name) == value
    for value in (low - 1, high + 1):
        with pytest.raises(ValueError, match=rf"^{name} is {value}; allowed: "):
            kind(**{name: value})


@pytest.mark.parametrize(("kind", "name"), SLIDERS)
@pytest.mark.parametrize("value", ["1", None, float("nan"), float("inf"), True, [1]])
def test_a_wrong_value_set_later_is_refused_and_the_old_one_stays(kind, name, value):
    widget = kind()
    before = getattr(widget, name)
    with pytest.raises(ValueError, match=f"^{name} is .*; allowed: "):
        setattr(widget, name, value)
    with pytest.raises(ValueError, match=f"^{name} is .*; allowed: "):
        widget.set_state({name: value})
    assert getattr(widget, name) == before


@pytest.mark.parametrize("kind", [DetachPaths, NoisyGate, PixelOrder])
def test_a_seed_is_an_integer(kind):
    widget = kind()
    for value in (-1, 0.5, "0"):
        with pytest.raises(ValueError, match=r"^seed is .*; allowed: an integer >= 0"):
            widget.seed = value


def test_whole_numbers_stay_whole():
    with pytest.raises(ValueError, match=r"^steps is 2\.5; allowed: an integer >= 2"):
        DetachPaths().steps = 2.5
    assert isinstance(Timescales(units=8).units, int)
    assert isinstance(NoisyGate(alpha=1).alpha, float)


def test_chosen_names_are_checked_and_kept_in_their_order():
    widget = Horizon(models=["S4", "UGI"])
    assert widget.models == ["S4", "UGI"] and Horizon(models=()).models == []
    with pytest.raises(ValueError, match=r"^unknown models 'S5'; did you mean 'S4'\?"):
        widget.models = ["UGI", "S5"]
    with pytest.raises(ValueError, match="^models is 'S4'; allowed: a list of names"):
        widget.models = "S4"
    assert widget.models == ["S4", "UGI"]


def test_an_unknown_name_is_refused():
    with pytest.raises(TypeError, match="tua"):
        NoisyGate(tua=1.0)


def test_an_unknown_scale_is_refused():
    with pytest.raises(ValueError, match="unknown scale 'logarithmic'; did you mean"):
        Slider(1, 2, scale="logarithmic")


@pytest.mark.parametrize("kind", [DetachPaths, NoisyGate])
def test_equal_seeds_give_equal_draws_also_when_set_later(kind):
    first, second = kind(seed=3), kind(seed=4)
    assert (first.draws() == kind(seed=3).draws()).all()
    assert not (first.draws() == second.draws()).any()
    second.seed = 3
    assert (first.draws() == second.draws()).all()


def test_the_samples_have_the_law_of_the_noisy_gate():
    widget = NoisyGate(seed=1)
    u, v = torch.as_tensor(widget.draws())
    assert ((u > 0) & (u < 1)).all() and ((v > 0) & (v < 1)).all()
    gates = ((0.5 + u.logit()) / 0.9).sigmoid()
    law = lambda g: gumbel.cdf(torch.as_tensor(g), torch.tensor(0.5), 0.9).numpy()  # noqa: E731
    assert stats.kstest(gates, law).pvalue > 0.01
    assert stats.kstest(v, "uniform").pvalue > 0.01


def test_ten_digits_of_a_pen_differ_and_fit_their_sheet():
    found = digits().reshape(10, 28, 28)
    assert found.min() == 0 and found.max() == 3
    assert not found[:, [0, 1, 2, -3, -2, -1]].any()
    assert not found[:, :, [0, 1, 2, -3, -2, -1]].any()
    apart = (found[:, None] != found[None]).sum((2, 3))
    assert (apart + 1000 * np.eye(10) > 50).all()


def test_a_widget_says_its_values():
    assert repr(RefineBand(f=0.99)) == "RefineBand(f=0.99, r=0.5)"
    assert repr(Horizon(models=["GLA"])) == "Horizon(horizon=100.0, models=['GLA'])"
    assert repr(DetachPaths()) == "DetachPaths(p=0.25, steps=20, seed=0)"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_stands_alone(name):
    source = module(name)
    assert not re.search(r"^import\b|\bimport\(|\bfetch\(", source, re.MULTILINE)
    assert set(re.findall(r"https?://[^\"`]+", source)) == {
        "http://www.w3.org/2000/svg"  # a name, not an address
    }


@pytest.mark.parametrize("name", MODULES)
def test_a_module_uses_the_books_colours(name):
    methods = re.findall(
        r"(?:hue\(|method: |part\(\"[^)]*, )\"([^\"]+)\"", module(name)
    )
    assert methods and set(methods) <= COLOURS.keys()
    assert all(
        f"--gatebook-{key}: {value};" in sheet() for key, value in COLOURS.items()
    )


@pytest.mark.parametrize("kind", WIDGETS)
def test_the_state_in_a_page_is_small(kind):
    size = len(json.dumps(kind().get_state()))
    if kind is GateWords:  # its sentences are the picture
        stored = len(json.dumps(json.dumps(stored_sentences())))
        assert stored < 170_000
        size -= stored
    assert size < 40_000
