"""The language model: shapes, dropouts, resets, and that its raw weights learn."""

import pytest
import torch
import torch.nn.functional as F
from gatebook.language.head import Adaptive, Linear
from gatebook.language.model import NO_DROPOUT, Dropouts, LanguageModel, detached

GATES = ["LSTM0", "sharpened", "G2", "LSTM", "C", "U", "OM", "UR"]


def model(**options):
    options = {"dropouts": NO_DROPOUT, "weight_drop": 0.0, "seed": 1} | options
    return LanguageModel(30, 32, 64, **options)


def words(steps=9, batch=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randint(30, (steps, batch), generator=g)


def test_it_computes_what_torchs_own_layers_compute():
    ours, ids = model().eval(), words()
    hidden = ours(ids, ours.start(2))
    x = F.embedding(ids, ours.embedding.weight)
    for layer in ours.layers:
        x, _ = layer.to_torch()(x)
    logits = F.linear(x, ours.embedding.weight, ours.head.bias)
    torch.testing.assert_close(hidden.raw, x, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        ours.log_probabilities(hidden.raw), logits.log_softmax(-1)
    )
    target = words(seed=1)
    nll = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
    torch.testing.assert_close(ours.nll(hidden.raw, target).flatten(), nll)
    torch.testing.assert_close(ours.mean_nll(hidden.raw, target), nll.mean())


def test_the_loss_in_pieces_has_the_gradients_of_the_whole():
    head = Linear(6, 700).double()
    hidden = torch.randn(900, 6, dtype=torch.float64, requires_grad=True)
    target = torch.randint(700, (900,))
    wanted = [hidden, head.weight, head.bias]
    pieces = torch.autograd.grad(head.mean_nll(hidden, target), wanted)
    whole = torch.autograd.grad(head.nll(hidden, target).mean(), wanted)
    for ours, theirs in zip(pieces, whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_a_tied_model_has_one_matrix_for_words():
    tied, free = model(), model(tied=False)
    assert tied.head.weight is tied.embedding.weight
    assert tied.hidden_sizes == [64, 64, 32] and free.hidden_sizes == [64] * 3
    assert "head.weight" not in dict(tied.named_parameters())


@pytest.mark.parametrize("gate", GATES)
def test_the_raw_recurrent_weight_learns_under_weight_drop(gate):
    # The trap of AWD-LSTM on later versions of PyTorch: the weight that is dropped
    # is a copy, and the raw one never changes.
    ours = model(gate=gate, weight_drop=0.5).train()
    optimizer = torch.optim.SGD(ours.parameters(), 1e3)
    before = [layer.weight_hh_l0.detach().clone() for layer in ours.layers]
    hidden = ours(words(), ours.start(2))
    ours.mean_nll(hidden.dropped, words(seed=1)).backward()
    optimizer.step()
    for layer, old in zip(ours.layers, before, strict=True):
        assert not torch.equal(layer.weight_hh_l0, old)
        reached = (layer.weight_hh_l0.grad != 0).float().mean()
        # The half that was kept; some of OM's units get no gradient at all.
        assert 0.05 < reached < 0.8


def test_dropouts_act_in_training_only_and_on_whole_windows():
    ours = model(dropouts=Dropouts(0.0, 0.5, 0.5, 0.5))
    ids, state = words(steps=20), ours.start(2)
    hidden = ours.train()(ids, state)
    gone = hidden.dropped == 0
    assert gone.any() and (gone == gone[:1]).all(), "the mask changes within a window"
    kept = ~gone
    torch.testing.assert_close(hidden.dropped[kept], 2 * hidden.raw[kept])
    assert not torch.equal(ours(ids, state).raw, hidden.raw)
    still = ours.eval()(ids, state)
    assert torch.equal(still.raw, still.dropped)
    assert torch.equal(still.raw, ours(ids, state).raw)


def test_embedding_dropout_drops_a_word_wherever_it_stands():
    ours = model(dropouts=Dropouts(0.5, 0.0, 0.0, 0.0)).train()
    ids = torch.arange(30).repeat(2)[:, None]
    gone = ours._embed(ids)[:, 0].abs().sum(-1) == 0
    assert torch.equal(gone[:30], gone[30:])
    assert 3 < gone[:30].sum() < 27


def test_equal_seeds_give_equal_models_and_noise():
    ids = words()
    place = torch.get_rng_state()
    one, same, other = (
        model(seed=s, dropouts=Dropouts(), weight_drop=0.5).train() for s in (3, 3, 4)
    )
    assert torch.equal(place, torch.get_rng_state())
    out = [m(ids, m.start(2)).dropped for m in (one, same, other)]
    assert torch.equal(out[0], out[1]) and not torch.equal(out[0], out[2])


def test_a_text_in_two_windows_is_a_text_in_one():
    ours, ids = model(gate="UR").eval(), words(steps=12)
    whole = ours(ids, ours.start(2))
    first = ours(ids[:5], ours.start(2))
    second = ours(ids[5:], detached(first.state))
    both = torch.cat([first.raw, second.raw])
    torch.testing.assert_close(both, whole.raw, rtol=1e-6, atol=1e-6)
    assert second.state[0][0].requires_grad
    assert not detached(second.state)[0][0].requires_grad


@pytest.mark.parametrize("first", [0, 4])
def test_an_article_begins_without_a_past(first):
    ours, ids = model().eval(), words(steps=10)
    begins = torch.zeros(10, 2, dtype=torch.bool)
    begins[first, 1] = True
    past = ours(words(seed=5), ours.start(2)).state
    out, plain = ours(ids, past, begins), ours(ids, past)
    anew = ours(ids[first:, 1:], ours.start(1))
    torch.testing.assert_close(out.raw[:, 0], plain.raw[:, 0])
    torch.testing.assert_close(out.raw[first:, 1:], anew.raw)
    torch.testing.assert_close(out.state[-1][1][:, 1:], anew.state[-1][1])


def test_rare_words_in_groups_are_still_probabilities():
    ours = model(tied=False, cutoffs=(5, 12)).eval()
    assert isinstance(ours.head, Adaptive)
    hidden = ours(words(), ours.start(2)).raw
    logs = ours.log_probabilities(hidden)
    torch.testing.assert_close(logs.logsumexp(-1), torch.zeros(9, 2))
    target = words(seed=1)
    picked = logs.gather(-1, target[..., None])[..., 0]
    torch.testing.assert_close(ours.nll(hidden, target), -picked)
    torch.testing.assert_close(ours.mean_nll(hidden, target), -picked.mean())


def test_the_papers_model_has_its_24_million_parameters():
    big = LanguageModel(10_000, 400, 1150)
    assert sum(p.numel() for p in big.parameters()) == 24_221_600


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gate": "G3"}, "unknown gate 'G3'; did you mean 'G2'"),
        ({"weight_drop": 1.0}, "weight_drop is 1.0"),
        ({"num_layers": 1}, "hidden_size is 64 in a tied model of one layer"),
        ({"cutoffs": (5,)}, "tied is True and cutoffs is"),
        ({"tied": False, "cutoffs": (5, 5)}, r"cutoffs\[1\] is 5"),
        ({"tied": False, "cutoffs": (30,)}, r"cutoffs\[0\] is 30"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        model(**options)


def test_a_bad_dropout_is_refused():
    with pytest.raises(ValueError, match=r"dropouts\.hidden is 1\.5"):
        Dropouts(hidden=1.5)


def test_begins_are_truths_of_the_shape_of_the_words(unchecked):
    ours, ids = model(), words()
    marks = torch.zeros(9, 2, dtype=torch.bool)
    for begins in (marks.long(), marks[:4], marks[:, :1]):
        with pytest.raises(
            ValueError, match=r"begins is .* torch.bool of shape \(9, 2"
        ):
            ours(ids, ours.start(2), begins)


def test_targets_are_words_one_for_each_output(unchecked):
    ours, hidden = model(), torch.randn(4, 3, 32)
    for loss in (ours.nll, ours.mean_nll):
        with pytest.raises(ValueError, match=r"the shape \(3, 4\); allowed: \(4, 3\)"):
            loss(hidden, words(3, 4))
        with pytest.raises(ValueError, match="target has -100; allowed: ids from 0 on"):
            loss(hidden, torch.full((4, 3), -100))
