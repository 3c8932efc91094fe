"""A mistake gets one sentence with the parameter, its value and what is allowed."""

import math
import subprocess
import sys

import pytest
import torch
from gatebook import GRU, LSTM, Gate
from gatebook.errors import (
    check_count,
    check_device,
    check_not_negative,
    check_positive,
    check_probability,
)
from gatebook.gates import (
    Chrono,
    Gumbel,
    HDetach,
    Master,
    Refine,
    Sharpened,
    resolve,
    with_detach,
)
from gatebook.language.recipe import Recipe
from gatebook.tasks import Adding, Copy
from gatebook.training import Plan
from gatebook_book.runs.store import Store
from gatebook_book.tasks import Pixels

x = torch.zeros(3, 2, 4)

MISTAKES = {
    "near name": (lambda: LSTM(4, 4, gate="URR"), ["gate", "'URR'", "mean 'UR'"]),
    "case": (lambda: LSTM(4, 4, gate="ur"), ["'ur'", "mean 'UR'"]),
    "far name": (lambda: resolve("xyzzy"), ["'xyzzy'", "allowed: 'LSTM'"]),
    "refine bias": (lambda: Refine("none"), ["bias", "'none'", "'mirrored'"]),
    "evaluation": (lambda: Gumbel(evaluation="codes"), ["mean 'code'"]),
    "h_detach": (lambda: LSTM(4, 4, h_detach=1.5), ["h_detach is 1.5", "[0, 1]"]),
    "c_detach": (lambda: GRU(4, 4, c_detach=-0.1), ["c_detach is -0.1", "[0, 1]"]),
    "both": (lambda: LSTM(4, 4, h_detach=0.1, c_detach=0.1), ["h_detach", "one of"]),
    "twice": (
        lambda: with_detach(Gate(gradient=HDetach(0.1)), h_detach=0.2),
        ["HDetach(p=0.1"],
    ),
    "p": (lambda: Gumbel(p=2), ["p is 2", "[0, 1]"]),
    "nan": (lambda: HDetach(float("nan")), ["p is nan"]),
    "tau 0": (lambda: Gumbel(tau=0), ["tau is 0", "> 0"]),
    "tau inf": (lambda: Sharpened(tau=float("inf")), ["tau is inf"]),
    "t_max": (lambda: Chrono(t_max=1), ["t_max is 1", ">= 2"]),
    "downsize": (lambda: LSTM(4, 20, gate="OM"), ["downsize is 16", "20"]),
    "downsize of the name": (
        lambda: LSTM(400, 1150, gate="OM"),
        ["gate is 'OM'", "16", "1150", "gate=Gate(Ordered(), Master(10))"],
    ),
    "downsize 0": (lambda: Master(0), ["downsize is 0", ">= 1"]),
    "hidden": (lambda: LSTM(4, 0), ["hidden_size is 0", ">= 1"]),
    "layers": (lambda: GRU(4, 4, num_layers=True), ["num_layers is True"]),
    "dropout": (lambda: LSTM(4, 4, dropout=2.0), ["dropout is 2.0"]),
    "zoneout": (lambda: LSTM(4, 4, zoneout=(0.5, 7.0)), ["zoneout is 7.0"]),
    "bias": (lambda: LSTM(4, 4, bias=False, gate="UR"), ["bias is False", "'UR'"]),
    "projection": (lambda: LSTM(4, 4, proj_size=2), ["proj_size is 2", "allowed: 0"]),
    "alone": (lambda: LSTM(5, 4)(x[0]), ["(2, 4)", "(T, input_size)", "input_size 5"]),
    "alone state": (
        lambda: GRU(4, 4)(x[0], torch.zeros(1, 2, 4)),
        ["h_0 has shape (1, 2, 4); allowed: (1, 4)", "(layers * directions, hidden"],
    ),
    "width": (lambda: LSTM(5, 4)(x), ["(3, 2, 4)", "input_size 5"]),
    "axes": (lambda: LSTM(4, 4)(x[None]), ["(1, 3, 2, 4)", "(T, B, input_size)"]),
    "no step": (lambda: LSTM(4, 4)(x[:0]), ["(0, 2, 4)", "at least one step"]),
    "dtype": (lambda: LSTM(4, 4)(x.double()), ["torch.float64", "torch.float32"]),
    "device": (lambda: LSTM(4, 4)(x.to("meta")), ["device meta", "cpu"]),
    "state": (
        lambda: GRU(4, 4)(x, torch.zeros(1, 3, 4)),
        ["h_0", "(1, 3, 4)", "(1, 2, 4)"],
    ),
    "state dtype": (
        lambda: LSTM(4, 4)(x, (torch.zeros(1, 2, 4), torch.zeros(1, 2, 4).double())),
        ["c_0 has dtype torch.float64", "torch.float32"],
    ),
    "state device": (
        lambda: GRU(4, 4)(x, torch.zeros(1, 2, 4, device="meta")),
        ["h_0 is on device meta", "cpu"],
    ),
    "zoneout to torch": (
        lambda: LSTM(4, 4, zoneout=(0.5, 0.05)).to_torch(),
        ["zoneout is (0.5, 0.05)", "allowed: 0"],
    ),
    "anneal nothing": (lambda: LSTM(4, 4).set_detach(0.1), ["Full()", "HDetach"]),
    "proj_size": (
        lambda: LSTM.from_torch(torch.nn.LSTM(4, 4, proj_size=2)),
        ["proj_size is 2"],
    ),
    "no counterpart": (lambda: LSTM(4, 4, gate="UR").to_torch(), ["Refine", "'U'"]),
    "form": (lambda: Copy(3, form="onehot"), ["form", "mean 'one-hot'"]),
    "length": (lambda: Copy(0), ["length is 0"]),
    "pool": (lambda: Copy(3, pool=0), ["pool is 0"]),
    "adding": (lambda: Adding(1), ["length is 1", ">= 2"]),
    "order": (lambda: Pixels("bitreversal"), ["mean 'bit-reversal'"]),
    "squares": (lambda: Pixels(pool=3), ["pool is 3", "1, 2 or 4"]),
    "share": (lambda: Pixels(validation_share=1.0), ["validation_share is 1.0"]),
    "share 0": (lambda: Pixels(validation_share=0.0), ["validation_share is 0.0"]),
    "share nan": (
        lambda: Pixels(validation_share=float("nan")),
        ["validation_share is nan"],
    ),
    "share True": (lambda: Pixels(validation_share=True), ["share is True"]),
    "source": (lambda: Pixels(source="embeded"), ["source", "mean 'embedded'"]),
    "no device": (lambda: check_device("device", "gpu"), ["device 'gpu'", "'cpu'"]),
    "stored device": (lambda: Store("a", device="cpuu"), ["mean 'cpu'"]),
    "steps": (lambda: Plan(0), ["steps is 0"]),
    "rate": (lambda: Plan(1, learning_rate=0.0), ["learning_rate is 0.0"]),
    "clip": (lambda: Plan(1, clip=-1.0), ["clip is -1.0"]),
    "anneal": (lambda: Plan(1, anneal=1.1), ["anneal is 1.1"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_message_names_the_thing_and_what_is_allowed(mistake):
    call, words = MISTAKES[mistake]
    with pytest.raises(ValueError) as error:
        call()
    assert all(word in str(error.value) for word in words), str(error.value)


WRONG_KINDS = {
    "LSTM(2, 2, gate=3)": "gate is 3; allowed: a name or a Gate object",
    "Gate(auxiliary='R')": "auxiliary is 'R'; allowed: an object of Plain, Tied, Refi",
    "LSTM(2, 2, zoneout=0.5)": "zoneout is 0.5; allowed: a pair of probabilities",
    "LSTM(2, 2, zoneout=(0.1,) * 3)": "zoneout is (0.1, 0.1, 0.1); allowed: a pair",
    "LSTM(2, 2, batch_first='no')": "batch_first is 'no'; allowed: True or False",
    "LSTM(2, 2, 1, 1)": "bias is 1; allowed: True or False",
    "GRU(2, 2, seed=1.5)": "seed is 1.5; allowed: an integer",
    "GRU(2, 2)(x, (x, x))": "hx is a tuple; allowed: a tensor h_0, or None",
    "LSTM(2, 2)(x, x)": "hx is a Tensor; allowed: a pair of tensors (h_0, c_0)",
    "DNC(2, 2)(x, x)": "state is a Tensor; allowed: a DNCState, or None",
    "DNC(2, 2)([x])": "input is a list; allowed: a tensor",
    "LSTM(2, 2)('a')": "input is a str; allowed: a tensor or a PackedSequence",
    "LSTM(2, 2)([x])": "input is a list; allowed: a tensor or a PackedSequence",
    "LSTM(2, 2)(torch.nested.nested_tensor([x[0], x[0, :1]], layout=torch.jagged))": (
        "input is a nested tensor; allowed: a tensor, or sequences of different leng"
    ),
    "torch.fx.symbolic_trace(LSTM(2, 2))": "input is a Proxy; allowed: a tensor or a ",
    "LSTM.from_torch(nn.GRU(2, 2))": "module is GRU; allowed: torch.nn.LSTM",
    "Recipe(1, ar='2')": "ar is '2'; allowed: a finite number >= 0",
    "Recipe(1, clip='1')": "clip is '1'; allowed: a finite number > 0",
    "Recipe(1, varied='no')": "varied is 'no'; allowed: True or False",
}


SHOW = """
import torch
from torch import nn
from gatebook import DNC, GRU, LSTM, Gate
from gatebook.language.recipe import Recipe
x = torch.zeros(2, 2, 2)
for call in {calls}:
    try:
        eval(call)
    except (TypeError, ValueError) as error:
        print(error)
"""


def test_wrong_kinds_of_object():
    # In a process of its own: here the annotations would be checked first.
    code = SHOW.format(calls=list(WRONG_KINDS))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    for said, wanted in zip(
        done.stdout.splitlines(), WRONG_KINDS.values(), strict=True
    ):
        assert said.startswith(wanted)


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf, "1", None, True])
def test_a_weight_is_a_finite_number_of_at_least_zero(value):
    check_not_negative("n", 0), check_not_negative("n", 0.5)
    with pytest.raises(ValueError, match=f"n is {value!r}; allowed: a finite number >"):
        check_not_negative("n", value)


@pytest.mark.parametrize("option", ["ar", "tar", "weight_decay", "clip"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_recipe_has_finite_numbers(option, value):
    with pytest.raises(ValueError, match=f"{option} is {value!r}; allowed: a finite"):
        Recipe(1, **{option: value})


@pytest.mark.parametrize("check", [check_count, check_positive, check_probability])
def test_a_truth_value_is_no_number(check):
    with pytest.raises(ValueError, match="n is True"):
        check("n", True)
