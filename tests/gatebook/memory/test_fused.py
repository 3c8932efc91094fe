"""The relational memory core in C against the loop."""

import pytest
import torch
from gatebook import GATES, RMC, Gate, reference
from gatebook.fused import ways
from gatebook.fused.cache import NoCompiler
from gatebook.fused.cpu import build, threads
from gatebook.gates import Constant, Master
from gatebook.memory import fused
from torch import nn
from torch.nn.utils import prune


def core_of(gate, slots=3, heads=3, width=12, dtype=torch.float64, **options):
    """A core with weights away from their start."""
    core = RMC(4, width, slots, heads, gate=gate, seed=0, dtype=dtype, **options)
    with torch.no_grad():
        for p in core.parameters():
            p.add_(torch.randn_like(p) * 0.2)
    return core


def fast(core, memory):
    """Whether the core in C takes a pass from this memory."""
    return fused.kernel_of(core.cell, memory, core.gate.noise.draws) is not None


def measured(core, x, memory):
    """Output, last memory, and every gradient of a loss on both."""
    leaves = [x, memory, *core.parameters()]
    draws = core.streams.state()
    output, last = core(x, memory)
    core.streams.load_state(draws)
    loss = output.sin().sum() + (last.cos() * torch.linspace(0, 1, 12).double()).sum()
    return output, last, *torch.autograd.grad(loss, leaves)


def given(core, steps=4, batch=5):
    x = torch.randn(steps, batch, 4, dtype=torch.float64, requires_grad=True)
    shape = (batch, core.slots, core.slot_size)
    return x, torch.randn(shape, dtype=torch.float64, requires_grad=True)


OM = Gate(GATES["OM"].activation, Master(4))  # the paper's 16 units do not divide 12


@pytest.mark.parametrize("gate", ["LSTM", "UR", OM, "G2"], ids=str)
def test_outputs_and_all_gradients_are_the_loops(gate):
    core = core_of(gate)
    x, memory = given(core)
    core.streams.seed  # noqa: B018  # drawn now, so that both passes have it
    assert fast(core, memory)
    found = measured(core, x, memory)
    with reference():
        expected = measured(core, x, memory)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("slots", [1, 2, 100])
@pytest.mark.parametrize("parts", [1, 3])
def test_any_number_of_slots_and_threads(slots, parts, monkeypatch):
    monkeypatch.setattr(threads, "number", lambda work: parts)
    core = core_of("UR", slots=slots)
    x, memory = given(core, steps=2, batch=7 if slots < 100 else 2)
    found = measured(core, x, memory)
    with reference():
        expected = measured(core, x, memory)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_several_groups_of_sequences():
    core = core_of("UR", slots=2)
    x, memory = given(core, steps=2, batch=101)
    found = measured(core, x, memory)
    with reference():
        expected = measured(core, x, memory)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_single_precision_is_near_the_loop():
    core = core_of("UR", dtype=torch.float32)
    x = torch.randn(20, 5, 4)
    with reference():
        expected, _ = core(x)
    torch.testing.assert_close(core(x)[0], expected, atol=1e-5, rtol=1e-4)


def test_gradients_in_double_precision():
    core = core_of("UR", slots=2, heads=2, width=4)
    x = torch.randn(2, 2, 4, dtype=torch.float64, requires_grad=True)
    memory = torch.randn(2, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(core, (x, memory))


def test_without_a_gradient_the_numbers_are_the_same():
    core = core_of("UR")
    x, memory = given(core)
    with torch.no_grad():
        quick = core(x, memory)
    for one, other in zip(quick, core(x, memory), strict=True):
        assert torch.equal(one, other)


def test_a_retained_graph_gives_the_same_gradients_twice():
    core = core_of("UR")
    x, memory = given(core)
    loss = core(x, memory)[0].square().sum()
    leaves = [x, memory, *core.parameters()]
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    for one, other in zip(first, torch.autograd.grad(loss, leaves), strict=True):
        assert torch.equal(one, other)


def test_frozen_weights_have_no_gradient_and_the_others_have():
    core = core_of("UR")
    core.cell.first.weight.requires_grad_(False)
    core(given(core)[0])[0].sum().backward()
    assert core.cell.first.weight.grad is None
    assert core.cell.second.weight.grad.any()


def test_a_second_derivative_is_refused_but_under_reference():
    core = core_of("UR")
    x, memory = given(core)
    with pytest.raises(RuntimeError, match="has no second derivative"):
        torch.autograd.grad(core(x, memory)[0].sum(), x, create_graph=True)
    with reference():
        first = torch.autograd.grad(core(x, memory)[0].sum(), x, create_graph=True)[0]
    assert torch.autograd.grad(first.square().sum(), memory)[0].any()


def test_what_c_cannot_do_goes_to_the_loop():
    half = torch.bfloat16
    assert not fast(core_of("LSTM", blocks=2), torch.rand(2, 3, 12).double())
    assert not fast(core_of("LSTM", gate_per="slot"), torch.rand(2, 3, 12).double())
    assert not fast(core_of("LSTM", dtype=half), torch.rand(2, 3, 12, dtype=half))
    single, memory = core_of("LSTM", dtype=torch.float32), torch.rand(2, 3, 12)
    with torch.autocast("cpu"):
        assert not fast(single, memory)
        assert single(torch.rand(2, 2, 4), memory)[0].shape == (2, 2, 36)
    many = torch.func.vmap(lambda x: single(x)[0])(torch.rand(3, 2, 2, 4))
    assert many.shape == (3, 2, 2, 36)


def test_without_a_compiler_the_loop_runs_and_says_so(monkeypatch):
    def none(*_):
        raise NoCompiler("none here")

    core, x = core_of("UR"), torch.randn(2, 2, 4, dtype=torch.float64)
    expected, _ = core(x)
    monkeypatch.setattr(build, "kernel", none)
    ways.warn.cache_clear()
    with pytest.warns(UserWarning, match="reference loop runs.*none here"):
        found, _ = core(x)
    torch.testing.assert_close(found, expected)


def test_gates_that_differ_in_their_start_share_a_kernel():
    gates = [GATES[name] for name in ("LSTM", "LSTM0", "C", "U")]
    assert len({fused.without_start(gate) for gate in gates}) == 1
    assert fused.without_start(GATES["UR"]) == fused.without_start(GATES["R"])
    assert fused.without_start(GATES["O"]).activation != Constant()


def test_weights_of_another_dtype_go_to_the_loop():
    core = core_of("UR")
    x, memory = given(core)
    core.cell.second.half()
    assert not fast(core, memory)  # C would read beyond the end of the weight
    with pytest.raises(RuntimeError, match="dtype"):
        core(x, memory)


class Doubled(nn.Linear):
    def forward(self, input):
        return 2 * super().forward(input)


def doubled(core):
    first = Doubled(12, 12, dtype=torch.float64)
    first.load_state_dict(core.cell.first.state_dict())
    core.cell.first = first


def widened(core):
    core.cell.first = nn.Linear(12, 20, dtype=torch.float64)
    core.cell.second = nn.Linear(20, 12, bias=False, dtype=torch.float64)


def with_hook(core):
    core.cell.gate_memory.register_forward_hook(lambda layer, given, out: 2 * out)


def renormed(core):
    core.cell.read_norm[0].eps = 0.1


def pruned(core):
    prune.random_unstructured(core.cell.first, "weight", 0.5)
    with torch.no_grad():  # a step of training, after which the weight is made anew
        core.cell.first.weight_orig.add_(1)


def parametrized(core):
    nn.utils.parametrizations.weight_norm(core.cell.second)


CHANGES = [doubled, widened, with_hook, renormed, pruned, parametrized]


@pytest.mark.parametrize("change", CHANGES)
def test_a_layer_that_the_user_has_changed_acts(change):
    core = core_of("UR")
    x, memory = given(core)
    before = core(x, memory)[0]
    change(core)
    found = core(x, memory)[0]
    with reference():
        expected = core(x, memory)[0]
    torch.testing.assert_close(found, expected)
    assert change is parametrized or not torch.allclose(found, before)


def test_noise_acts_where_the_module_trains_whatever_its_cell_does():
    core = core_of("G2")
    x, memory = given(core)
    core.cell.eval()
    draws = core.streams.state()
    found = core(x, memory)[0]
    core.streams.load_state(draws)
    with reference():
        torch.testing.assert_close(found, core(x, memory)[0])
