"""Activation checkpointing and hooks for saved tensors see all that a pass keeps."""

import weakref

import pytest
import torch
from gatebook import GRU, LSTM, fused
from gatebook.fused.cpu.arrays import Pool, pool
from gatebook.random import same_draws
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

CORES = pytest.mark.parametrize("kind", [LSTM, GRU])
REENTRANT = pytest.mark.parametrize("reentrant", [True, False])


@CORES
@REENTRANT
def test_checkpointing_gives_the_same_gradients(kind, reentrant):
    rnn, x = kind(3, 5, gate="UR"), torch.randn(7, 2, 3, requires_grad=True)

    def gradients(y):
        rnn.zero_grad()
        x.grad = None
        y.square().sum().backward()
        return [x.grad, *(p.grad for p in rnn.parameters())]

    plain = gradients(rnn(x)[0])
    again = gradients(checkpoint(rnn, x, use_reentrant=reentrant)[0])
    assert all(map(torch.equal, plain, again))


@CORES
def test_what_a_pass_keeps_is_as_large_as_what_the_hooks_see(kind):
    rnn, seen = kind(3, 64, gate="G2"), []
    x = torch.randn(9, 4, 3)

    def pack(saved):
        seen.append(saved.numel())
        return saved

    with saved_tensors_hooks(pack, lambda saved: saved):
        y, _ = rnn(x)
    steps, units = 9 * 4, 64
    blocks = 4 if kind is LSTM else 3
    noise = 2 if kind is LSTM else 1
    arrays = blocks + noise + 2  # P, the noise, the outputs; C or what is kept apart
    assert sum(seen) >= steps * units * arrays


def test_checkpointing_frees_the_arrays_at_once(monkeypatch):
    made, take = [], Pool.take

    def noted(self, shape, dtype):
        array = take(self, shape, dtype)
        made.append(weakref.ref(array))
        return array

    monkeypatch.setattr(Pool, "take", noted)
    rnn, x = LSTM(3, 64), torch.randn(200, 16, 3, requires_grad=True)
    y, _ = rnn(x)
    large = 200 * 16 * 64
    assert sum(a().numel() >= large for a in made if a() is not None) == 2  # P and C
    del y
    made.clear()
    y, _ = checkpoint(rnn, x, use_reentrant=False)
    assert not any(a().numel() >= large for a in made if a() is not None)
    y.sum().backward()
    assert x.grad.isfinite().all()


def test_arrays_that_a_hook_holds_are_not_used_again():
    rnn, x, saved = LSTM(3, 64), torch.randn(200, 16, 3), []

    def pack(tensor):
        saved.append(tensor)
        return tensor

    fused.clear()
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        y, _ = rnn(x)
    y.sum().backward()
    held = {t.untyped_storage().data_ptr() for t in saved}
    waiting = [a for each in pool.waiting.values() for a in each]
    assert not held & {a.untyped_storage().data_ptr() for a in waiting}


# --------------------------------------------------------------------------
# Random numbers in a pass that is repeated
# --------------------------------------------------------------------------

DRAWING = pytest.mark.parametrize(
    "options",
    [
        {"gate": "G2"},
        {"h_detach": 0.5},
        {"zoneout": (0.2, 0.0)},
        {"weight_drop": 0.5},
        {"num_layers": 2, "dropout": 0.5},
    ],
)


@DRAWING
@REENTRANT
def test_other_numbers_in_a_repeated_pass_are_refused(options, reentrant):
    rnn, x = LSTM(3, 5, **options), torch.randn(7, 2, 3, requires_grad=True)
    y, _ = checkpoint(rnn, x, use_reentrant=reentrant)
    with pytest.raises(RuntimeError, match="context_fn=gatebook.random.same_draws"):
        y.sum().backward()
    rnn.eval()
    checkpoint(rnn, x, use_reentrant=reentrant)[0].sum().backward()
    assert x.grad.isfinite().all()


@DRAWING
def test_the_same_numbers_give_the_gradient_of_one_pass(options):
    x, found = torch.randn(7, 2, 3), []
    for checkpointed in (True, False):
        torch.manual_seed(0)
        rnn = LSTM(3, 5, seed=0, **options)
        if checkpointed:
            context = {"use_reentrant": False, "context_fn": same_draws(rnn)}
            y, _ = checkpoint(rnn, x, **context)
        else:
            y, _ = rnn(x)
        y.square().sum().backward()
        found.append([p.grad for p in rnn.parameters()])
    assert all(map(torch.equal, *found))


def test_batched_noise_is_refused():
    rnn, x = LSTM(3, 5, gate="G2"), torch.randn(4, 7, 2, 3)
    with pytest.raises(RuntimeError, match="vmap cannot batch the noise.*eval"):
        torch.func.vmap(lambda x: rnn(x)[0], randomness="different")(x)
    rnn.eval()
    found = torch.func.vmap(lambda x: rnn(x)[0])(x)
    torch.testing.assert_close(found[1], rnn(x[1])[0])
