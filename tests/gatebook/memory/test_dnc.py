"""The DNC against its equations row by row, its state, its gates, bad input."""

import math

import pytest
import torch
from gatebook import LSTM, Gate, record
from gatebook.gates import Gumbel, HDetach, Master, Ordered, Uniform
from gatebook.memory import DNC
from gatebook.memory.dnc import access
from gatebook.memory.interface import Asked

F64 = {"dtype": torch.float64}


def close(found, wanted, **tolerance):
    torch.testing.assert_close(found, wanted, **tolerance)


def linear(core, h):
    """The interface before it is squashed."""
    return torch.nn.functional.linear(h, core.interface.weight, core.interface.bias)


def small(**options):
    """A core that gradcheck can take: no two rows are used equally after a step."""
    return DNC(3, 4, rows=4, width=3, reads=2, **options, **F64)


def test_the_output_is_h_and_what_was_read():
    out, state = small()(torch.randn(5, 2, 3, **F64))
    assert out.shape == (5, 2, 4 + 2 * 3)
    assert torch.equal(out[-1, :, :4], state.h)
    assert torch.equal(out[-1, :, 4:], state.read_vectors.flatten(1))


# --------------------------------------------------------------------------
# Written again, number by number
# --------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def softmax(xs):
    top = [math.exp(x - max(xs)) for x in xs]
    return [t / sum(top) for t in top]


def oneplus(x):
    return 1 + math.log1p(math.exp(x))


def cosines(rows, key, strength):
    length = lambda xs: math.sqrt(sum(x * x for x in xs) + 1e-6)  # noqa: E731
    dot = lambda row: sum(a * b for a, b in zip(row, key, strict=True))  # noqa: E731
    return softmax([strength * dot(r) / (length(r) * length(key)) for r in rows])


def allocated(u):
    u = [1e-6 + (1 - 1e-6) * x for x in u]
    order = sorted(range(len(u)), key=u.__getitem__)
    return [
        (1 - u[n]) * math.prod(u[m] for m in order[: order.index(n)])
        for n in range(len(u))
    ]


def by_hand(xi, s, heads, width):
    """Graves et al. 2016, one example: the memory after one step, in lists."""
    cut = iter(xi)
    take = lambda n: [next(cut) for _ in range(n)]  # noqa: E731
    read_keys = [take(width) for _ in range(heads)]
    read_betas = [oneplus(x) for x in take(heads)]
    write_key, write_beta = take(width), oneplus(*take(1))
    erase = [sigmoid(x) for x in take(width)]
    vector = take(width)
    free = [sigmoid(x) for x in take(heads)]
    g_a, g_w = sigmoid(*take(1)), sigmoid(*take(1))
    modes = [softmax(take(3)) for _ in range(heads)]
    assert not list(cut)
    rows = range(len(s["usage"]))
    w, rho, links = s["write_weights"], s["read_weights"], s["links"]
    u = [
        (s["usage"][n] + w[n] - s["usage"][n] * w[n])
        * math.prod(1 - free[i] * rho[i][n] for i in range(heads))
        for n in rows
    ]
    a, c = allocated(u), cosines(s["memory"], write_key, write_beta)
    w = [g_w * (g_a * a[n] + (1 - g_a) * c[n]) for n in rows]
    memory = [
        [
            s["memory"][n][k] * (1 - w[n] * erase[k]) + w[n] * vector[k]
            for k in range(width)
        ]
        for n in rows
    ]
    p = s["precedence"]
    links = [
        [0.0 if i == j else (1 - w[i] - w[j]) * links[i][j] + w[i] * p[j] for j in rows]
        for i in rows
    ]
    new = []
    for k in range(heads):
        c = cosines(memory, read_keys[k], read_betas[k])
        back = [sum(links[m][n] * rho[k][m] for m in rows) for n in rows]
        on = [sum(links[n][m] * rho[k][m] for m in rows) for n in rows]
        b, by, f = modes[k]
        new.append([b * back[n] + by * c[n] + f * on[n] for n in rows])
    return {
        "memory": memory,
        "usage": u,
        "precedence": [(1 - sum(w)) * p[n] + w[n] for n in rows],
        "links": links,
        "write_weights": w,
        "read_weights": new,
        "read_vectors": [
            [sum(rho[n] * memory[n][k] for n in rows) for k in range(width)]
            for rho in new
        ],
    }


def test_three_steps_equal_the_equations_written_number_by_number():
    core, x = small(), torch.randn(3, 1, 3, **F64)
    state = None
    with torch.no_grad():
        core.interface.weight.mul_(4)  # so that gates and strengths differ
        for x_t in x:
            _, new = core.step(x_t, state)
            before = state or core._state(None, x)
            lists = {k: v[0].tolist() for k, v in before._asdict().items()}
            xi = linear(core, new.h)[0].tolist()
            for name, value in by_hand(xi, lists, 2, 3).items():
                close(getattr(new, name)[0], torch.tensor(value, **F64))
            state = new


@pytest.mark.parametrize("gate", ["LSTM", "UR", "OM2"])
def test_the_controller_is_an_lstm_that_also_sees_what_was_read(gate):
    gate = Gate(Ordered(), Master(2)) if gate == "OM2" else gate
    core, x = small(gate=gate), torch.randn(6, 2, 3, **F64)
    with record(core) as seen, torch.no_grad():
        out, _ = core(x)
    read = torch.cat(
        [torch.zeros(1, 2, 6, **F64), seen["memory"]["read_vectors"][:-1].flatten(2)]
    )
    plain = LSTM(9, 4, gate=gate, **F64)
    for name, value in core.controller.named_parameters():
        getattr(plain, f"{name}_l0").data.copy_(value)
    with record(plain) as alone:
        h, _ = plain(torch.cat([x, read], -1))
    close(out[..., :4], h)
    for name, value in alone["l0"].items():
        close(seen["l0"][name], value)


# --------------------------------------------------------------------------
# The memory does what it is for
# --------------------------------------------------------------------------


def asked(vector, **options):
    """One example's interface: writes to a free row, reads by content, by default."""
    batch, width = vector.shape
    sharp = torch.full((batch, 1), 50.0)
    usual = Asked(
        read_keys=vector[:, None],
        read_strengths=sharp,
        write_key=vector[:, None],
        write_strength=sharp,
        erase=torch.ones(batch, width),
        vector=vector,
        free=torch.zeros(batch, 1),
        allocation_gate=torch.ones(batch, 1),
        write_gate=torch.ones(batch, 1),
        modes=torch.tensor([0.0, 1.0, 0.0]).expand(batch, 1, 3),
    )
    return usual._replace(**options)


def no_write(batch=1):
    return {"write_gate": torch.zeros(batch, 1)}


def reading(mode):
    return {"modes": torch.eye(3)[mode].reshape(1, 1, 3), **no_write()}


def test_what_was_written_is_read_in_the_order_of_writing_and_back():
    words = torch.randn(5, 1, 4)
    state = DNC(2, 2, rows=7, width=4, reads=1)._state(None, torch.zeros(1, 1, 2))
    for word in words:
        state, _ = access(state, asked(word))
    state, _ = access(state, asked(words[0], **no_write()))  # find the first word
    found = [state.read_vectors[:, 0]]
    for _ in words[1:]:  # then follow the links, without a key
        state, _ = access(state, asked(torch.zeros(1, 4), **reading(2)))
        found.append(state.read_vectors[:, 0])
    close(torch.stack(found), words, atol=1e-3, rtol=0)
    for word in reversed(words[:-1]):
        state, _ = access(state, asked(torch.zeros(1, 4), **reading(0)))
        close(state.read_vectors[:, 0], word, atol=1e-3, rtol=0)


def test_a_freed_row_is_the_next_to_be_written_and_a_full_memory_takes_nothing():
    words = torch.randn(5, 1, 4)
    state = DNC(2, 2, rows=3, width=4, reads=1)._state(None, torch.zeros(1, 1, 2))
    for word in words[:3]:
        state, _ = access(state, asked(word))
    state, seen = access(state, asked(words[1], **no_write()))
    assert seen["allocation"].sum() < 1e-4  # full
    row, before = state.read_weights.argmax(), state.memory[0]
    state, seen = access(state, asked(words[3], free=torch.ones(1, 1)))
    assert seen["allocation"].argmax() == row  # what had just been read is free
    before[row] = words[3, 0]
    close(state.memory[0], before, atol=1e-3, rtol=0)


def test_addresses_are_weights_and_links_are_substochastic_while_it_runs():
    core = DNC(3, 8, rows=5, width=4, reads=3, gate="UR", **F64)
    with torch.no_grad():
        core.interface.weight.mul_(10)
    with record(core) as seen:
        core(torch.randn(30, 16, 3, **F64))
    found, room = seen["memory"], 1 + 1e-9
    for name in ("allocation", "write_weights", "read_weights", "precedence"):
        assert (found[name] >= 0).all() and (found[name].sum(-1) <= room).all()
    assert (found["usage"] >= 0).all() and (found["usage"] <= room).all()
    links = found["links"]
    assert links.max() > 0.1 and (links >= 0).all()
    assert (links.sum(-1) <= room).all() and (links.sum(-2) <= room).all()
    assert (links.diagonal(dim1=-2, dim2=-1) == 0).all()


# --------------------------------------------------------------------------
# Gates of the grid
# --------------------------------------------------------------------------

MEMORY_GATES = [
    None,
    "LSTM",
    "C",
    "O",
    "U",
    "R",
    "UR",
    "CIFG",
    "G2",
    Gate(Uniform(), Master(4)),
]


@pytest.mark.parametrize("gate", MEMORY_GATES, ids=str)
def test_a_memory_gate_gives_what_is_kept_and_what_is_added(gate):
    core, x = (
        DNC(3, 8, rows=4, width=16, memory_gate=gate, seed=0),
        torch.randn(4, 2, 3),
    )
    with record(core) as seen:
        _, state = core(x)
    found = seen["memory"]
    keep, w = found["effective_forget"], found["write_weights"][..., None]
    add = found.get("effective_input", torch.ones(1))
    assert keep.shape == (4, 2, 16) and keep.min() >= 0 and keep.max() <= 1
    before = torch.cat([torch.zeros(1, 2, 4, 16), found["memory"][:-1]])
    sizes = list(core.interface.layout.blocks().values())
    # The vectors that were written can be read off the controller's h.
    h = core(x)[0][..., :8] if gate != "G2" else None
    if h is None:  # the noise of a second pass would be another
        return
    place = list(core.interface.layout.blocks()).index("vector")
    vector = linear(core, h).split(sizes, -1)[place]
    wanted = before * (1 - w * (1 - keep[:, :, None])) + w * (add * vector)[:, :, None]
    close(found["memory"], wanted)
    close(state.memory, wanted[-1])


@pytest.mark.parametrize("gate", ["R", "UR", "CIFG"])
def test_with_a_tied_memory_gate_a_row_is_a_mean_of_what_was_written(gate):
    core = DNC(3, 8, rows=4, width=6, memory_gate=gate, **F64)
    x = torch.randn(28, 9, 3, **F64)
    with torch.no_grad():
        core.interface.weight.mul_(10)
        out, _ = core(x)
        with record(core) as seen:
            core(x)
        place = list(core.interface.layout.blocks()).index("vector")
        xi = linear(core, out[..., :8]).split(
            list(core.interface.layout.blocks().values()), -1
        )
    zero = torch.zeros(1, 9, 6, **F64)
    written = torch.cat([zero, xi[place]])  # the memory is zero at first
    high, low = (
        f(written, 0).values[1:, :, None] for f in (torch.cummax, torch.cummin)
    )
    assert (seen["memory"]["memory"] <= high + 1e-12).all()
    assert (seen["memory"]["memory"] >= low - 1e-12).all()


def test_without_a_tie_a_row_can_grow_past_all_that_was_written():
    core = DNC(1, 4, rows=1, width=3, reads=1, **F64)
    with torch.no_grad():
        core.interface.weight.zero_()
        parts = dict(
            zip(
                core.interface.layout.blocks(),
                core.interface.bias.split(
                    list(core.interface.layout.blocks().values())
                ),
                strict=True,
            )
        )
        parts["vector"].fill_(1.0)
        parts["erase"].fill_(-20.0)
        parts["write_gate"].fill_(20.0)
        _, state = core(torch.zeros(10, 1, 1, **F64))
    assert state.memory.min() > 4


def test_the_laws_of_both_gates_are_in_the_biases_and_the_rest_is_zero():
    core = DNC(3, 5, rows=4, width=64, gate="UR", memory_gate="UR", seed=0)
    parts = dict(
        zip(
            core.interface.layout.blocks(),
            core.interface.bias.split(list(core.interface.layout.blocks().values())),
            strict=True,
        )
    )
    f = parts.pop("forget").sigmoid()
    close(parts.pop("refine").sigmoid(), 1 - f)
    assert 1 / 64 <= f.min() < 0.2 and 0.8 < f.max() <= 63 / 64
    assert not any(value.any() for value in parts.values())


def test_noise_and_detaching_act_in_training_only():
    for options in ({"gate": "G2"}, {"memory_gate": "G2"}):
        core, x = DNC(3, 8, seed=1, **options), torch.randn(5, 2, 3)
        first, second = core(x)[0], core(x)[0]
        assert not torch.equal(first, second)
        core.eval()
        assert torch.equal(core(x)[0], core(x)[0])


def test_the_seed_decides_the_noise_and_the_memorys_noise_does_not_move_the_others():
    x = torch.randn(1, 2, 3)
    found = []
    for memory_gate in ("LSTM0", "G2", "G2"):
        torch.manual_seed(3)
        core = DNC(3, 8, gate="G2", memory_gate=memory_gate, seed=5)
        found.append(core(x)[0])
    assert torch.equal(found[1], found[2])
    assert torch.equal(found[0][..., :8], found[1][..., :8])
    assert not torch.equal(found[0][..., 8:], found[1][..., 8:])


def test_h_detach_blocks_the_path_through_h_alone():
    torch.manual_seed(0)
    x = torch.randn(4, 2, 3, **F64)
    grads = {}
    for p in (0.0, 1.0):
        torch.manual_seed(1)
        core = small(h_detach=p) if p else small()
        with torch.no_grad():
            core.controller.weight_ih[:, 3:] = 0  # what was read is not heard
        start = core._state(None, x)
        h = torch.randn(2, 4, **F64, requires_grad=True)
        reads = torch.randn(2, 2, 3, **F64, requires_grad=True)
        out, _ = core(x, start._replace(h=h, read_vectors=reads))
        out.sum().backward()
        grads[p] = (
            h.grad is not None and h.grad.any(),
            core.controller.weight_hh.grad.any(),
        )
    assert grads[0.0] == (True, True)
    assert grads[1.0][0] == False  # noqa: E712
    assert grads[1.0][1]  # the weights themselves are trained


# --------------------------------------------------------------------------
# State and gradients
# --------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"gate": "UR", "memory_gate": "UR"}], ids=str)
def test_two_calls_equal_one_and_steps_equal_the_whole_with_gradients(options):
    core, x = small(**options), torch.randn(6, 2, 3, **F64, requires_grad=True)
    inputs = [x, *core.parameters()]

    def gradients(out, state):
        loss = (out * torch.arange(out.numel()).reshape(out.shape)).sum()
        loss = loss + sum((part**2).sum() for part in state)
        return torch.autograd.grad(loss, inputs)

    out, state = core(x)
    wanted = gradients(out, state)
    first, middle = core(x[:2])
    second, end = core(x[2:], middle)
    close(torch.cat([first, second]), out)
    close(tuple(end), tuple(state))
    close(gradients(torch.cat([first, second]), end), wanted)
    now, outs = None, []
    for x_t in x:
        out_t, now = core.step(x_t, now)
        outs.append(out_t)
    close(torch.stack(outs), out)
    close(gradients(torch.stack(outs), now), wanted)


@pytest.mark.parametrize("options", [{}, {"gate": "UR", "memory_gate": "R"}], ids=str)
def test_gradients(options):
    core = small(**options).eval()
    state = core._state(None, torch.zeros(1, 1, 3, **F64))
    start = [torch.rand(part.shape, **F64) / 4 for part in state]
    values = [torch.randn(2, 1, 3, **F64), *start]
    # The gradient through w into the usage is blocked: w is a constant here.
    w = values.pop(1 + state._fields.index("write_weights"))

    def run(x, *parts):
        parts = list(parts)
        parts.insert(state._fields.index("write_weights"), w)
        out, _ = core.step(x[0], type(state)(*parts))
        return out

    assert torch.autograd.gradcheck(run, [v.requires_grad_() for v in values])


def test_a_gradient_at_the_very_start_is_finite():
    core, x = DNC(3, 8), torch.zeros(3, 2, 3, requires_grad=True)
    with torch.no_grad():
        core.interface.weight.zero_()  # zero keys meet a zero memory
    core(x)[0].sum().backward()
    assert all(p.grad.isfinite().all() for p in core.parameters())


def test_autocast_rounds_the_output_and_not_the_memory():
    core, x = DNC(3, 8), torch.randn(4, 2, 3)
    exact, _ = core(x)
    with torch.autocast("cpu", torch.bfloat16):
        out, state = core(x)
    assert out.dtype == torch.bfloat16 and state.memory.dtype == torch.float32
    close(out.float(), exact, atol=1e-2, rtol=1e-2)


# --------------------------------------------------------------------------
# Bad input
# --------------------------------------------------------------------------

MISTAKES = {
    "rows": (lambda: DNC(2, 2, rows=0), "rows is 0; allowed: an integer >= 1"),
    "width": (lambda: DNC(2, 2, width=0), "width is 0"),
    "reads": (lambda: DNC(2, 2, reads=0), "reads is 0"),
    "size": (lambda: DNC(0, 2), "input_size is 0"),
    "gate": (lambda: DNC(2, 2, gate="URR"), "unknown gate 'URR'; did you mean 'UR'"),
    "memory gate": (lambda: DNC(2, 2, memory_gate="urr"), "did you mean 'UR'"),
    "downsize": (
        lambda: DNC(2, 2, width=8, memory_gate="OM"),
        "whose downsize is 16, and width is 8; allowed: a downsize that divides",
    ),
    "detach": (
        lambda: DNC(2, 2, memory_gate=Gate(gradient=HDetach())),
        "which detaches; allowed: the gradient rule Full()",
    ),
    "U of 2": (
        lambda: DNC(2, 2, width=2, memory_gate="U"),
        "memory_gate is 'U' and width is 2, which leaves it 2 units to differ in; "
        "allowed: 3 or more",
    ),
    "one master": (lambda: DNC(2, 2, memory_gate="OM"), "leaves it 1 units"),
    "shape": (lambda: DNC(2, 2)(torch.zeros(1, 2, 3)), "input has shape (1, 2, 3)"),
    "no batch": (lambda: DNC(2, 2)(torch.zeros(3, 2)), "allowed: (T, B, input_size)"),
    "step alone": (
        lambda: DNC(2, 2).step(torch.zeros(2)),
        "input has shape (2,); allowed: (B, input_size), one step, with input_size 2",
    ),
    "step too wide": (
        lambda: DNC(2, 2).step(torch.zeros(1, 3)),
        "input has shape (1, 3); allowed: (B, input_size), one step, with input_size 2",
    ),
    "no step": (lambda: DNC(2, 2)(torch.zeros(0, 1, 2)), "at least one step"),
    "kind": (lambda: DNC(2, 2)(torch.zeros(1, 1, 2, **F64)), "has dtype torch.float64"),
    "another memory": (
        lambda: DNC(2, 2)(
            torch.zeros(1, 3, 2), DNC(2, 2, rows=9)(torch.zeros(1, 3, 2))[1]
        ),
        "state.memory has shape (3, 9, 16); allowed: (3, 16, 16), that is (batch, "
        "rows, width)",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_message_names_the_thing_and_what_is_allowed(mistake):
    call, words = MISTAKES[mistake]
    with pytest.raises(ValueError) as error:
        call()
    assert words in str(error.value), str(error.value)


def test_gates_that_need_no_room_take_any_width():
    for gate in ("LSTM", "R", "CIFG", Uniform(d=16)):
        gate = Gate(gate) if isinstance(gate, Uniform) else gate
        DNC(2, 2, width=1, memory_gate=gate)
    DNC(2, 2, width=1, memory_gate=Gate(noise=Gumbel()))


def test_a_state_dict_says_by_which_gates_it_was_trained():
    states = {
        name: DNC(2, 2, width=4, memory_gate=name).state_dict()
        for name in (None, "CIFG", "R", "UR", "O")
    }
    DNC(2, 2, width=4, memory_gate="R").load_state_dict(states["UR"])  # one function
    for mine, other in ((None, "CIFG"), ("CIFG", None), ("R", "O")):
        with pytest.raises((ValueError, RuntimeError), match="gate|weights are of 'W"):
            DNC(2, 2, width=4, memory_gate=mine).load_state_dict(states[other])
    with pytest.raises(ValueError, match="weights are of 'LSTM Refine sigmoid'"):
        DNC(2, 2).load_state_dict(DNC(2, 2, gate="UR").state_dict())
