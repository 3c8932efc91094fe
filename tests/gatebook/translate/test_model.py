"""The two networks: filling does nothing, `paper` is the code's, gates are in place."""

import pytest
import torch
from gatebook.modes import evaluating
from gatebook.translate.batches import Batch, batch_of
from gatebook.translate.gates import read_gates, standing
from gatebook.translate.model import Translator
from gatebook.translate.paper import PaperTranslator

from tests.gatebook.translate.texts import corpus

BOTH = [Translator, PaperTranslator]
V = 40


def a_batch(count=5) -> Batch:
    return batch_of(corpus().train, range(count))


def a_model(kind, seed=3, **options):
    return kind(corpus().subwords.size, 6, 8, seed=seed, **options)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("layers", [1, 3])
def test_filling_reaches_neither_the_loss_nor_the_gates(kind, layers):
    """A sentence by itself and beside longer ones, with other ids behind its end."""
    model = a_model(kind, num_layers=layers).eval()
    batch = a_batch()
    for t, real in ((batch.source, batch.real_source), (batch.target, batch.real)):
        t[~real] = 7
    together = model.nll(batch)
    gates = read_gates(model, batch)
    places = batch.real.nonzero()
    for column in range(5):
        own = batch_of(corpus().train, [column])
        torch.testing.assert_close(together[places[:, 1] == column], model.nll(own))
        for layer, found in read_gates(model, own).items():
            for name, values in found.items():
                theirs = gates[layer][name][batch.real[:, column], column]
                torch.testing.assert_close(theirs, values[:, 0])


@pytest.mark.parametrize("kind", BOTH)
def test_no_word_is_read_before_it_is_predicted(kind):
    model, batch = a_model(kind).eval(), a_batch(1)
    before = model.nll(batch)
    batch.target[2] = 9
    assert torch.equal(model.nll(batch)[:2], before[:2])
    assert not torch.isclose(model.nll(batch)[3], before[3])


@pytest.mark.parametrize("kind", BOTH)
def test_steps_one_by_one_are_the_whole_sequence(kind):
    model, batch = a_model(kind, num_layers=3, dropout=0.3).eval(), a_batch(3)
    with evaluating(model):
        memory = model.encode(batch.source, batch.source_lengths)
        whole, state = model.decode(memory, batch.target), model.start(memory)
        for t in range(len(batch.target)):
            said = batch.target[t - 1] if t else None
            readout, state = model.step(said, state, memory)
            torch.testing.assert_close(readout, whole[t])


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("gate", ["LSTM0", "G2", "UR"])
def test_every_weight_learns_and_the_seed_decides_all(kind, gate):
    first, same = (a_model(kind, gate=gate, dropout=0.2) for _ in "ab")
    for model in (first, same):
        model.nll(a_batch()).sum().backward()
    for (name, p), q in zip(first.named_parameters(), same.parameters(), strict=True):
        assert p.grad is not None and p.grad.abs().sum() > 0, name
        assert torch.equal(p.grad, q.grad), name


@pytest.mark.parametrize("part", ["query", "bridge", "residual", "tied"])
def test_each_part_can_be_left_out(part):
    with_it, without = (
        a_model(Translator, **{part: on}).eval() for on in (True, False)
    )
    theirs = {
        k: v for k, v in with_it.state_dict().items() if k in without.state_dict()
    }
    without.load_state_dict(theirs, strict=False)
    apart = with_it.nll(a_batch()) - without.nll(a_batch())
    counts = [sum(p.numel() for p in m.parameters()) for m in (with_it, without)]
    if part == "tied":
        assert counts[1] - counts[0] == 2 * corpus().subwords.size * 6
    else:
        assert apart.abs().max() > 1e-6
        square = {"query": 64, "bridge": 48, "residual": 0}[part]
        assert counts[0] - counts[1] == square


def test_paper_has_the_codes_sizes():
    """German to English in P1, from the sizes of its code: 25.5 million weights."""
    model = PaperTranslator(250, 256, 256)
    units = [layer.hidden_size for layer in model.encoder]
    assert units == [256, 512] and model.encoder[0].bidirectional
    assert model.encoder[1].input_size == 512
    assert [layer.input_size for layer in model.decoder] == [256, 512, 768]
    one_bias = sum(p.numel() for n, p in model.named_parameters() if "bias_hh" not in n)
    tables = 25_002 - 250
    assert one_bias + tables * (3 * 256 + 1) == pytest.approx(25.5e6, rel=0.02)


def test_paper_takes_the_codes_two_transitions():
    """The first layer by hand: A, additive attention, B, on one state."""
    model, batch = a_model(PaperTranslator, num_layers=1).eval(), a_batch(2)
    memory = model.encode(batch.source, batch.source_lengths)
    h, c = memory.start, torch.zeros_like(memory.start)
    y = torch.zeros(2, 6)
    readouts = []
    for word in batch.target:
        a_h, a_c = lstm_step(model.decoder[0], y, h, c)
        query = a_h @ model.query.weight.T
        energy = torch.tanh(query[:, None] + memory.keys) @ model.score.weight[0]
        weight = energy.exp() * memory.real  # the code masks after the exponential
        weight = weight / weight.sum(1, keepdim=True)
        context = torch.einsum("bs,bsw->bw", weight, memory.values)
        h, c = lstm_step(model.decoder[1], context, a_h, a_c)
        readouts.append(torch.tanh(model.readout(torch.cat([h, y, context], 1))))
        y = model.embedding(word)
    expected = torch.stack(readouts)[batch.real]
    torch.testing.assert_close(model(batch), expected)


def lstm_step(layer, x, h, c):
    """The textbook's LSTM on the weights of a layer."""
    state = dict(layer.named_parameters())
    alpha = x @ state["weight_ih_l0"].T + state["bias_ih_l0"]
    alpha = alpha + h @ state["weight_hh_l0"].T + state["bias_hh_l0"]
    i, f, u, o = alpha.chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * u.tanh()
    return o.sigmoid() * c.tanh(), c


def test_papers_dropout_keeps_the_mean_in_evaluation():
    model = a_model(PaperTranslator, dropout=0.25)
    x = torch.ones(4000)
    kept = model.train()._drop(x)
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert kept.mean().item() == pytest.approx(0.75, abs=0.03)
    assert torch.equal(model.eval()._drop(x), x * 0.75)
    assert torch.equal(model._drop(x, 0.5), x * 0.5)  # the readout's


@pytest.mark.parametrize("kind", BOTH)
def test_gates_are_at_the_step_that_read_the_word(kind):
    """A word that closes the forget gate by hand: the step after it is predicted."""
    model, batch = a_model(kind, num_layers=1).eval(), a_batch(1)
    first = model.decoder[0]
    mark = int(batch.target[1, 0])
    with torch.no_grad():
        model.embedding.weight.zero_()
        model.embedding.weight[mark, 0] = 1.0
        for weight in (first.weight_ih_l0, first.weight_hh_l0):
            weight.zero_()
        rows = slice(8, 16)  # the forget gate's, in torch's order i, f, g, o
        first.weight_ih_l0[rows, 0] = -50.0
    read = [mark == k for k in [-1, *batch.target[:-1, 0].tolist()]]
    forget = read_gates(model, batch)["decoder.0"]["effective_forget"][:, 0]
    assert [row.max().item() < 1e-3 for row in forget] == read
    assert any(read)


def test_gates_stand_as_they_do():
    model, batch = a_model(Translator, gate="G2").train(), a_batch()
    found = standing(model, batch)
    assert model.training and len(found) == 8
    with evaluating(model):
        f = read_gates(model, batch)["decoder.1"]["effective_forget"][batch.real]
    assert found["decoder.1 effective_forget mean"] == pytest.approx(f.mean().item())
    assert found["decoder.1 effective_forget ends"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 7}, "hidden_size is 7; allowed: an even number"),
        ({"vocabulary_size": 0}, "vocabulary_size is 0"),
        ({"num_layers": 0}, "num_layers is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"gate": "G3"}, "unknown gate 'G3'"),
    ],
)
def test_bad_models_are_refused(options, message):
    sizes = {"vocabulary_size": V, "width": 4, "hidden_size": 6}
    with pytest.raises(ValueError, match=message):
        Translator(**{**sizes, **options})
