"""The RMA: its step written out, what is read, what takes a gradient."""

import math
from inspect import unwrap

import pytest
import torch
import torch.nn.functional as F
from gatebook.agents import A2C, RMA, act, build, fit
from gatebook.agents.network import reconstruction
from gatebook.match import Episodes, Match
from gatebook.random import generator

SIZES = {"input_size": 3, "hidden_size": 5, "width": 4, "heads": 2}


def by_hand(core, xs):
    """Hung et al.'s step for one episode, row by row."""
    h, c, read = torch.zeros(1, 5), torch.zeros(1, 5), torch.zeros(1, 8)
    rows, outs = [], []
    for x in xs:
        z = core.code(torch.cat([x, h, read], -1))
        h, c = core.controller(z, (h, c))
        asked = core.keys(h).view(2, 5)
        reads = []
        for key, strength in zip(asked[:, :4], asked[:, 4], strict=True):
            beta = math.log1p(math.exp(strength.item()))
            scores = [beta * torch.cosine_similarity(key, row, 0) for row in rows]
            order = sorted(range(len(rows)), key=lambda k: -scores[k].item())
            chosen = order[: core.best]
            total = sum(math.exp(scores[k]) for k in chosen)
            shares = {k: math.exp(scores[k]) / total for k in chosen}
            reads.append(sum((s * rows[k] for k, s in shares.items()), torch.zeros(4)))
        read = torch.cat(reads)[None]
        rows = [*rows, z[0]][-core.rows :]
        outs.append(torch.cat([z, h, read], -1))
    return torch.stack(outs)


@pytest.mark.parametrize(("best", "rows"), [(50, 1000), (2, 1000), (50, 3), (2, 4)])
def test_each_step_is_the_papers(best, rows):
    core = RMA(**SIZES, best=best, rows=rows, gate="UR", seed=0)
    x = torch.randn(7, 1, 3)
    with torch.no_grad():
        out, state = core(x)
        torch.testing.assert_close(out, by_hand(core, x))
    assert state.memory.shape == (1, min(7, rows), 4)


def test_no_gradient_enters_what_is_stored():
    """A read tells the keys, not the codes of the steps before."""
    core, x = RMA(**SIZES, seed=0), torch.randn(6, 2, 3, requires_grad=True)
    out, state = core(x)
    assert not state.memory.requires_grad
    (direct,) = torch.autograd.grad(core.latent(out)[0].sum(), x, retain_graph=True)
    assert direct[0].abs().sum() > 0 and direct[1:].abs().sum() == 0
    later = core._read(out[-1, :, 4:9], state.memory)
    (gradient,) = torch.autograd.grad(later.sum(), out, retain_graph=True)
    assert gradient[-1].abs().sum() > 0 and gradient[:-1].abs().sum() == 0


def test_episodes_of_a_batch_do_not_read_each_others_rows():
    core, x = RMA(**SIZES, gate="U", seed=0), torch.randn(5, 3, 3)
    whole = core(x)[0]
    for k in range(3):
        torch.testing.assert_close(core(x[:, k : k + 1])[0][:, 0], whole[:, k])


def test_what_was_seen_is_asked_for_in_the_published_proportions():
    x = torch.zeros(2, 1, 80)
    x[..., :75] = torch.randint(2, (2, 1, 75)) * 2 - 1.0
    x[1, 0, 77], x[1, 0, 79] = 1, 0.5
    blank = torch.zeros(2, 1, 80)
    wanted = 50 * math.log(2) + math.log(4) / 2 + 0.5 * 0.25 / 2
    assert reconstruction(blank, x).item() == pytest.approx(wanted, rel=1e-5)
    perfect = F.pad(x[..., :75] * 99, (0, 5))
    perfect[1, 0, 77], perfect[1, 0, 79] = 99, 0.5
    assert reconstruction(perfect, x).item() == pytest.approx(0, abs=1e-5)


def test_an_agent_with_an_rma_learns_to_give_back_what_it_sees():
    match = Match(explore=1, delay=1, choose=1)
    network = build("RMA", 8, gate="UR")
    unroll = act(network, Episodes(match, 16, 9), None, 3, generator(0))
    before = network(unroll.x).own.item()
    assert before > 0.1 * 50 * 0.6  # all pixels at ½
    fit(network, match, A2C(30, batch_size=16, learning_rate=1e-2))
    assert network(unroll.x).own < 0.7 * before


@pytest.mark.parametrize("name", ["input_size", "hidden_size", "width", "heads"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} is 0; allowed: an integer >= 1"):
        RMA(**SIZES | {name: 0})


X = torch.zeros(4, 2, 3)
MISTAKES = {
    "no step": ((X[:0],), "input has shape (0, 2, 3); allowed: at least one step"),
    "wide": ((torch.zeros(4, 2, 5),), "allowed: (T, B, input_size) with input_size 3"),
    "alone": ((X[:, 0],), "input has shape (4, 3); allowed: (T, B, input_size)"),
    "dtype": ((X.double(),), "input has dtype torch.float64; allowed: torch.float32"),
    "batch": (
        (X, RMA(**SIZES)(X[:, :1])[1]),
        "state.h has shape (1, 5); allowed: (2, 5), that is (batch, hidden_size)",
    ),
    "width": (
        (X, RMA(**SIZES | {"width": 6})(X)[1]._replace(read=torch.zeros(2, 8))),
        "state.memory has shape (2, 4, 6); allowed: (2, 4, 4), that is (batch, rows,",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_message_names_the_thing_and_what_is_allowed(mistake):
    given, words = MISTAKES[mistake]
    with pytest.raises(ValueError) as error:
        RMA(**SIZES)(*given)
    assert words in str(error.value)


def test_steps_and_other_kinds_are_checked_too():
    core = RMA(**SIZES)
    with pytest.raises(ValueError, match=r"allowed: \(B, input_size\), one step"):
        core.step(X[0, 0])
    with pytest.raises(TypeError, match="input is a list; allowed: a tensor"):
        unwrap(RMA.forward)(core, [[1.0]])
    with pytest.raises(TypeError, match="state is a Tensor; allowed: an RMAState"):
        unwrap(RMA.step)(core, X[0], torch.zeros(2))
