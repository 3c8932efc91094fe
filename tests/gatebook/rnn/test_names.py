"""A state names its gate in every format, and another function refuses it."""

import io

import pytest
import torch
from gatebook import GRU, LSTM, Gate
from gatebook.gates import Chrono, Gumbel, Master, Ordered, Plain, Refine
from gatebook.rnn import name_gates
from gatebook.rnn.names import function
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    set_model_state_dict,
)
from torch.func import functional_call, vmap


def make(gate, kind=LSTM):
    return kind(4, 16, gate=gate, seed=0)


def by_state_dict(source, target, folder):
    target.load_state_dict(source.state_dict())


def by_plain_dictionary(source, target, folder):
    target.load_state_dict(dict(source.state_dict()))


def by_torch_file(source, target, folder):
    file = io.BytesIO()
    torch.save(source.state_dict(), file)
    file.seek(0)
    target.load_state_dict(torch.load(file, weights_only=True))


def by_stripped_prefix(source, target, folder):
    state = nn.ModuleDict({"module": source}).state_dict()
    target.load_state_dict({k.removeprefix("module."): v for k, v in state.items()})


def by_safetensors(source, target, folder):
    save_file(source.state_dict(), folder / "a")
    target.load_state_dict(load_file(folder / "a"))


def by_safetensors_model(source, target, folder):
    save_model(nn.Sequential(source), folder / "a")
    load_model(nn.Sequential(target), folder / "a")


def by_moving_average(source, target, folder):
    average = {k: 0.9 * v + 0.1 * v for k, v in source.state_dict().items()}
    target.load_state_dict(average)


def by_distributed_checkpoint(source, target, folder):
    set_model_state_dict(target, get_model_state_dict(source))


WAYS = [
    by_state_dict,
    by_plain_dictionary,
    by_torch_file,
    by_stripped_prefix,
    by_safetensors,
    by_safetensors_model,
    by_moving_average,
    by_distributed_checkpoint,
]

OTHERS = [
    ("LSTM", "O"),
    ("LSTM0", "sharpened"),
    ("R", "OR"),
    ("UR", "OR"),
    ("LSTM", "UR"),
    ("UR", "LSTM"),
    ("G2", Gate(noise=Gumbel(evaluation="paper"))),
    (Gate(Ordered(), Master(4)), Gate(Chrono(), Master(4))),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_another_function_is_refused(way, one, other, tmp_path):
    target = make(other)
    before = target.weight_hh_l0.clone()
    with pytest.raises(ValueError, match="allowed: 'LSTM "):
        way(make(one), target, tmp_path)
    assert torch.equal(target.weight_hh_l0, before)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("one", "other"),
    [("LSTM", "G2"), ("U", "C"), ("R", "UR"), ("UR", "UR-s4"), ("OM", "OM")],
)
def test_start_and_noise_may_differ(way, one, other, tmp_path):
    source, target = make(one), make(other)
    way(source, target, tmp_path)
    torch.testing.assert_close(target.weight_hh_l0, source.weight_hh_l0)


@pytest.mark.parametrize(("kind", "torch_kind"), [(LSTM, nn.LSTM), (GRU, nn.GRU)])
@pytest.mark.parametrize("gate", ["LSTM", "LSTM0", "U", "G2"])
def test_a_gate_that_evaluates_as_torchs_has_torchs_state(kind, torch_kind, gate):
    ours, theirs = make(gate, kind), torch_kind(4, 16)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict(), strict=True)
    make("LSTM0", kind).load_state_dict(theirs.state_dict(), strict=True)
    with pytest.raises(ValueError, match="weights are of"):
        make("UR", kind).load_state_dict(theirs.state_dict())
    with pytest.raises(RuntimeError, match="Unexpected key.*gate_name"):
        nn.LSTM(4, 16).load_state_dict(make("UR").state_dict())


def test_cells_of_equal_shape_are_not_each_other():
    # Both have three blocks of rows.
    with pytest.raises(ValueError, match="'GRU Plain sigmoid'; allowed: 'LSTM Tied"):
        make("CIFG").load_state_dict(make("LSTM", GRU).state_dict())
    make("CIFG", GRU).load_state_dict(make("LSTM", GRU).state_dict())


def test_where_a_grus_reset_gate_acts_is_in_the_name():
    before = GRU(4, 16, reset="before")
    with pytest.raises(ValueError, match="'GRU reset=before Plain sigmoid'; allowed"):
        GRU(4, 16).load_state_dict(dict(before.state_dict()))
    with pytest.raises(ValueError, match="allowed: 'GRU reset=before Plain sigmoid'"):
        before.load_state_dict(nn.GRU(4, 16).state_dict())


def before(gate):
    """A state as it was written before states named their gates."""
    state = make(gate).state_dict()
    state.pop("gate_name", None)
    del state._metadata[""]["gate"]
    return state


def test_weights_from_before_can_be_loaded():
    make("UR").load_state_dict(before("UR"))  # the rows are in its metadata
    with pytest.raises(ValueError, match="rows of the weights are input, forget"):
        make("UR").load_state_dict(before("LSTM"))
    plain, model = dict(before("O")), make("O")
    with pytest.raises(ValueError, match=r"names no gate.*name_gates\(state, model\)"):
        model.load_state_dict(plain)
    model.load_state_dict(name_gates(plain, model))
    assert torch.equal(model.weight_hh_l0, plain["weight_hh_l0"])
    with pytest.raises(ValueError, match="'LSTM Refine cumax'; allowed"):
        model.load_state_dict(name_gates(make("OR").state_dict(), model))


def test_a_part_of_a_larger_state_is_not_looked_at():
    model = nn.ModuleList([make("UR"), nn.Linear(2, 2)])
    state = {"1.weight": torch.ones(2, 2)}
    missing = model.load_state_dict(state, strict=False).missing_keys
    assert "0.weight_hh_l0" in missing
    assert torch.equal(model[1].weight, state["1.weight"])


def test_the_name_is_no_parameter_and_no_buffer():
    model = make("UR")
    assert len(list(model.parameters())) == 4 and not list(model.buffers())
    with torch.device("meta"):
        shapes = make("UR")
    shapes.load_state_dict(model.state_dict(), assign=True)
    assert torch.equal(shapes.weight_hh_l0, model.weight_hh_l0)


@pytest.mark.parametrize("gate", ["LSTM", "UR"])
def test_a_state_serves_a_functional_call_and_an_ensemble(gate):
    models = [nn.Sequential(make(gate).eval()) for _ in range(2)]
    x, (first, second) = torch.randn(3, 2, 4), [m.state_dict() for m in models]
    found = functional_call(models[0], second, (x,))[0]
    torch.testing.assert_close(found, models[1](x)[0])
    torch.testing.assert_close(models[0].state_dict(), first)  # put back
    stacked = {k: torch.stack([first[k], second[k]]) for k in first}
    both = vmap(lambda s: functional_call(models[0], s, (x,))[0])(stacked)
    torch.testing.assert_close(both[1], models[1](x)[0])


def test_every_function_has_a_name_of_its_own():
    names = {g: function(make(g).core) for g in ("LSTM", "O", "R", "OR", "UM", "OM")}
    assert len(set(names.values())) == 6
    assert names["R"] == function(make("UR").core) == "LSTM Refine sigmoid"
    sharp = Gate(Ordered(), Refine(), Gumbel(tau=0.5, evaluation="paper"))
    assert function(make(sharp, GRU).core) == "GRU Refine cumax / 0.5"
    still = Gate(Ordered(), Plain(), Gumbel(tau=0.5, p=0.0, evaluation="paper"))
    assert function(make(still).core) == "LSTM Plain cumax"
