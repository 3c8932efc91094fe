"""The relational memory core against its equations, and as a user meets it."""

import copy
import math

import pytest
import torch
from gatebook import GATES, RMC, Gate, record, reference
from gatebook.gates import (
    Constant,
    Gumbel,
    HDetach,
    Master,
    Ordered,
)
from gatebook.rnn import name_gates, unit_means
from gatebook.rnn.checks import check_tensor
from torch import nn

TIED = {"R", "UR", "OR", "UR-s4", "CIFG"}  # gates with i = 1 - f


def small(gate="UR", **options):
    """A core of 3 slots of 16 units in float64, with weights away from their start."""
    arguments = {"slots": 3, "heads": 2, "dtype": torch.float64, "seed": 0} | options
    core = RMC(4, 16, gate=gate, **arguments)
    with torch.no_grad():
        for p in core.parameters():
            p.add_(torch.randn_like(p) * 0.1)
    return core


def inputs(steps=5, batch=2):
    return torch.randn(steps, batch, 4, dtype=torch.float64)


# -- the equations, written once more, number by number ------------------------


def linear(layer, row):
    w, b = layer.weight.tolist(), layer.bias.tolist()
    return [
        sum(a * x for a, x in zip(line, row, strict=True)) + shift
        for line, shift in zip(w, b, strict=True)
    ]


def layer_norm(norm, row):
    mean = sum(row) / len(row)
    spread = math.sqrt(sum((x - mean) ** 2 for x in row) / len(row) + 1e-5)
    scaled = [(x - mean) / spread for x in row]
    parts = zip(scaled, norm.weight.tolist(), norm.bias.tolist(), strict=True)
    return [x * w + b for x, w, b in parts]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def attention_by_hand(projected, heads, width):
    """Sonnet's order: heads first, then query, key and value within a head."""
    size, read = width // heads, [[] for _ in projected]
    for head in range(heads):
        at = 3 * size * head
        q = [row[at : at + size] for row in projected]
        k = [row[at + size : at + 2 * size] for row in projected]
        v = [row[at + 2 * size : at + 3 * size] for row in projected]
        for n, query in enumerate(q):
            scores = [
                sum(a * b for a, b in zip(query, key, strict=True)) / math.sqrt(size)
                for key in k
            ]
            weights = [math.exp(s) for s in scores]
            for unit in range(size):
                value = sum(w * row[unit] for w, row in zip(weights, v, strict=True))
                read[n].append(value / sum(weights))
    return read


def plus(one, other):
    pairs = zip(one, other, strict=True)
    return [[a + b for a, b in zip(r, s, strict=True)] for r, s in pairs]


def step_by_hand(core, memory, x):
    """One step of Sonnet's RelationalMemory for one example, in lists of numbers."""
    cell, width = core.cell, core.slot_size
    entered = linear(core.input, x)
    rows = [*memory, entered]
    for k in range(core.blocks):
        projected = [
            layer_norm(cell.project_norm[k], linear(cell.project[k], r)) for r in rows
        ]
        read = attention_by_hand(projected, core.core.heads, width)
        rows = [layer_norm(cell.read_norm[k], r) for r in plus(rows, read)]
        hidden = [[max(a, 0.0) for a in linear(cell.first, r)] for r in rows]
        thought = [linear(cell.second, r) for r in hidden]
        rows = [layer_norm(cell.out_norm[k], r) for r in plus(rows, thought)]
    from_input, new = linear(core.gate_input, entered), []
    for slot, row in zip(memory, rows, strict=False):
        from_memory = linear(cell.gate_memory, [math.tanh(m) for m in slot])
        pre = [a + b for a, b in zip(from_input, from_memory, strict=True)]
        half = len(pre) // 2
        i, f = ([sigmoid(p) for p in part] for part in (pre[:half], pre[half:]))
        spread = width // half  # one number a slot serves all its units
        new.append(
            [
                f[u // spread] * slot[u] + i[u // spread] * math.tanh(row[u])
                for u in range(width)
            ]
        )
    return new


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("per", ["unit", "slot"])
def test_the_plain_gate_is_the_published_core(per, blocks):
    core = small("LSTM", gate_per=per, blocks=blocks)
    x = inputs(steps=2, batch=1)
    memory = core.initial_memory(1)[0].tolist()
    output, last = core(x)
    for t in range(2):
        memory = step_by_hand(core, memory, x[t, 0].tolist())
        expected = torch.tensor(memory, dtype=torch.float64)
        torch.testing.assert_close(output[t, 0], expected.flatten())
    torch.testing.assert_close(last[0], expected)


def test_the_plain_gate_starts_as_published():
    core = RMC(4, 16, slots=3, gate="LSTM")
    bias = core.gate_input.bias
    assert torch.equal(bias, torch.cat([torch.zeros(16), torch.ones(16)]))
    assert not core.cell.gate_memory.bias.any()
    weight = core.cell.first.weight
    assert weight.abs().max() <= 2 / 4
    assert 0.15 < weight.std() < 0.3  # 1/4, less what is cut off


def test_memory_starts_as_the_identity_padded_or_cut():
    padded = RMC(4, 8, slots=3, heads=1).initial_memory(2)
    assert torch.equal(padded[1], torch.eye(8)[:3])
    cut = RMC(4, 2, slots=3, heads=1).initial_memory(2)
    assert torch.equal(cut[0], torch.tensor([[1.0, 0], [0, 1], [0, 0]]))


# -- gates ----------------------------------------------------------------------


@pytest.mark.parametrize("gate", GATES)
def test_every_gate_of_the_grid_updates_the_memory(gate):
    core = small(gate).eval()
    with record(core) as gates:
        output, last = core(inputs())
    seen = gates["l0"]
    old = core.initial_memory(2)
    candidate = output[0].view(2, 3, 16) - seen["effective_forget"][0] * old
    # |Ũ| < 1, so that what the input gate adds is smaller than the gate.
    assert (candidate.abs() <= seen["effective_input"][0] + 1e-12).all()
    assert last.shape == (2, 3, 16)


@pytest.mark.parametrize("gate", sorted(TIED))
def test_a_tied_gate_keeps_the_memory_within_one(gate):
    core = small(gate)
    with torch.no_grad():
        for p in core.parameters():
            p.mul_(5)
    with reference():
        output, _ = core(100 * inputs(steps=40))
    assert output.abs().max() <= 1


@pytest.mark.parametrize("gate", ["C", "U", "UR", "UM"])
def test_the_law_of_the_gate_is_drawn_once_for_all_slots(gate):
    core = RMC(4, 128, slots=3, gate=gate)
    law = dict(
        zip(
            core.core.blocks(),
            core.gate_input.bias.split(list(core.core.blocks().values())),
            strict=True,
        )
    )
    main = law["master_forget" if gate == "UM" else "forget"]
    other = {"UM": "master_input", "UR": "refine"}.get(gate, "input")
    assert len(main.unique()) == len(main)
    assert torch.equal(law[other], -main)
    assert not core.cell.gate_memory.bias.any()


@pytest.mark.parametrize("gate", ["LSTM", "LSTM0", "R", "CIFG", "G2", "sharpened"])
def test_one_gate_a_slot_moves_all_its_units_alike(gate):
    core = small(gate, gate_per="slot")
    with record(core) as gates:
        core(inputs())
    assert gates["l0"]["effective_forget"].shape == (5, 2, 3, 1)


@pytest.mark.parametrize("gate", ["C", "U", "UR", "UR-s4", "O", "OR", "OM", "UM"])
def test_gates_that_need_units_refuse_one_gate_a_slot(gate):
    with pytest.raises(ValueError, match=f"gate is '{gate}' and gate_per is 'slot'"):
        RMC(4, 16, gate=gate, gate_per="slot")


def test_noise_acts_in_training_and_repeats_with_the_seed():
    x = inputs()
    first, again, other = (small("G2", seed=s) for s in (1, 1, 2))
    for core in (again, other):
        core.load_state_dict(first.state_dict())
    with reference():
        out = first(x)[0]
        assert torch.equal(out, again(x)[0])
        assert not torch.equal(out, other(x)[0])
        assert torch.equal(first.eval()(x)[0], other.eval()(x)[0])


def test_noise_differs_between_slots():
    core = small(Gate(Constant(0.0), noise=Gumbel(p=1.0)))
    with torch.no_grad():
        core.cell.gate_memory.weight.zero_()
    with record(core) as gates:
        core(inputs())
    slots = gates["l0"]["forget"].unbind(2)
    assert not torch.allclose(slots[0], slots[1])


# -- state ----------------------------------------------------------------------


@pytest.mark.parametrize("gate", ["LSTM", "UR", "OM"])
def test_permuting_the_slots_permutes_the_new_memory(gate):
    core, order = small(gate, blocks=2), torch.tensor([2, 0, 1])
    memory = torch.randn(2, 3, 16, dtype=torch.float64)
    x = inputs(steps=3)
    permuted = core(x, memory[:, order])[1]
    torch.testing.assert_close(permuted, core(x, memory)[1][:, order])


def test_two_calls_that_hand_the_state_on_are_one_with_the_same_gradients():
    core, x = small(), inputs()
    whole, last = core(x)
    whole.square().sum().backward()
    gradients = [p.grad.clone() for p in core.parameters()]
    core.zero_grad()
    first, memory = core(x[:2])
    second, memory = core(x[2:], memory)
    torch.cat([first, second]).square().sum().backward()
    torch.testing.assert_close(memory, last)
    for p, expected in zip(core.parameters(), gradients, strict=True):
        torch.testing.assert_close(p.grad, expected)


def test_steps_are_the_whole():
    core, x, memory = small().eval(), inputs(), None
    with torch.no_grad():
        whole, last = core(x)
        for t in range(5):
            output, memory = core.step(x[t], memory)
            torch.testing.assert_close(output, whole[t])
    torch.testing.assert_close(memory, last)


def test_gradients_in_double_precision():
    core = RMC(2, 4, 2, 2, gate="UR", dtype=torch.float64)
    names = [name for name, _ in core.named_parameters()]
    x = torch.randn(2, 2, 2, dtype=torch.float64, requires_grad=True)
    memory = torch.randn(2, 2, 4, dtype=torch.float64, requires_grad=True)

    def run(x, memory, *weights):
        state = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(core, state, (x, memory))

    weights = [p.detach().requires_grad_() for p in core.parameters()]
    assert torch.autograd.gradcheck(run, (x, memory, *weights), fast_mode=True)


def test_weights_do_not_depend_on_the_number_of_slots():
    two, four = (RMC(4, 16, slots=n, gate="LSTM") for n in (2, 4))
    four.load_state_dict(two.state_dict())
    with reference():
        assert four(torch.randn(3, 1, 4))[0].shape == (3, 1, 64)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(dtype):
    core = RMC(4, 16, slots=3, gate="UR", dtype=dtype)
    output, memory = core(torch.randn(5, 2, 4, dtype=dtype))
    output.sum().backward()
    assert output.dtype == memory.dtype == core.input.weight.grad.dtype == dtype
    same, x = copy.deepcopy(core).float(), torch.randn(5, 2, 4)
    with reference():
        expected = same(x)[0]
    torch.testing.assert_close(core(x.to(dtype))[0].float(), expected, atol=0.1, rtol=0)


# -- recording, copies and files --------------------------------------------------


def test_the_recorder_has_gates_and_addresses():
    core = small(blocks=2)
    model = nn.ModuleDict({"core": core})
    with record(model) as gates:
        core(inputs())
    weights = gates["l0"]["attention"]
    assert weights.shape == (5, 2, 2, 2, 3, 4)  # T, B, blocks, heads, slots, rows
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert gates["l0"]["effective_forget"].shape == (5, 2, 3, 16)
    assert core.recorder is None
    assert len(unit_means(core, inputs())) == 16


def test_a_copy_and_a_loaded_state_compute_the_same():
    core, x = small(), inputs()
    fresh = RMC(4, 16, 3, 2, gate="UR", dtype=torch.float64)
    fresh.load_state_dict(core.state_dict())
    expected = core(x)[0]
    assert torch.equal(fresh(x)[0], expected)
    assert torch.equal(copy.deepcopy(core)(x)[0], expected)


@pytest.mark.parametrize("other", [{"gate": "R"}, {"heads": 4}, {"gate": "CIFG"}])
def test_weights_of_another_function_are_refused(other):
    state = small(heads=2, gate="LSTM").state_dict()
    core = small(**({"gate": "LSTM", "heads": 2} | other))
    with pytest.raises(ValueError, match="weights are of 'RMC heads=2 Plain sigmoid'"):
        core.load_state_dict(state)
    bare = {k: v for k, v in state.items() if k != "gate_name"}
    with pytest.raises(ValueError, match="the state names no gate; allowed"):
        core.load_state_dict(bare)
    same = small(heads=2, gate="LSTM")
    same.load_state_dict(name_gates(bare, same))


# -- bad input --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"slots": 0}, "slots is 0; allowed: an integer >= 1"),
        ({"heads": 3}, "heads is 3 and slot_size is 16; allowed: .* divides"),
        ({"blocks": 0}, "blocks is 0; allowed: an integer >= 1"),
        ({"gate": "UX"}, "unknown gate 'UX'"),
        ({"gate_per": "head"}, "unknown gate_per 'head'"),
        ({"gate": Gate(gradient=HDetach())}, "which detaches; allowed: .* no h and c"),
        ({"gate": Gate(Ordered(), Master(5))}, "downsize is 5, and slot_size is 16"),
    ],
)
def test_a_core_that_cannot_be(options, words):
    with pytest.raises(ValueError, match=words):
        RMC(4, 16, **options)


def test_input_and_state_of_another_shape():
    core = RMC(4, 16, slots=3)
    x = torch.randn(5, 2, 4)
    with pytest.raises(ValueError, match=r"input has shape \(5, 2, 3\); allowed"):
        core(x[..., :3])
    with pytest.raises(ValueError, match="at least one step"):
        core(x[:0])
    with pytest.raises(ValueError, match="input has dtype torch.float64"):
        core(x.double())
    with pytest.raises(ValueError, match=r"state has shape .*\(batch, slots, slot_siz"):
        core(x, torch.zeros(2, 4, 16))
    for wrong in (x, x[0, 0], x[0, :, :3]):
        with pytest.raises(ValueError, match=r"allowed: \(B, input_size\), one step"):
            core.step(wrong)
    with pytest.raises(TypeError, match="input is a PackedSequence; allowed: a tensor"):
        check_tensor(nn.utils.rnn.pack_sequence([x[:, 0]]))
