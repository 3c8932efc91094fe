"""Networks: one step at a time equals the whole; seeds; bad input."""

import pytest
import torch
from gatebook import LSTM
from gatebook.agents import Answerer, Network, build
from gatebook.match import FEATURES, Labelled, Match
from gatebook.modes import evaluating
from gatebook.training import Plan
from gatebook.training import fit as fit_task

CORES = ["LSTM", "GRU", "RMC", "DNC", "RMA"]


@pytest.mark.parametrize("core", CORES)
def test_steps_in_turn_say_what_the_whole_sequence_says(core):
    network, x = build(core, 8, gate="UR"), torch.randn(6, 3, FEATURES)
    said, state = network(x), None
    assert said.logits.shape == (6, 3, 4) and said.values.shape == (6, 3)
    with evaluating(network):
        for k in range(6):
            logits, state = network.step(x[k], state)
            torch.testing.assert_close(logits, said.logits[k].detach())


def test_a_carried_state_goes_on_where_it_was():
    network, x = build("LSTM", 8, gate="UR"), torch.randn(6, 3, FEATURES)
    state = None
    with evaluating(network):
        for k in range(4):
            _, state = network.step(x[k], state)
    torch.testing.assert_close(network(x[4:], state).values, network(x).values[4:])


def test_a_seed_decides_the_weights_and_leaves_torchs_generator_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (build("LSTM", 8, seed, gate="U") for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), wanted)
    for a, b in zip(one.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(one.encoder.weight, other.encoder.weight)


def test_actions_are_nearly_uniform_at_the_start():
    logits = build("LSTM", 16)(torch.randn(9, 50, FEATURES)).logits
    assert logits.softmax(-1).sub(0.25).abs().max() < 0.08


def test_every_weight_gets_a_gradient():
    network = build("GRU", 8, gate="UR")
    said = network(torch.randn(5, 3, FEATURES))
    (said.logits.square().sum() + said.values.sum()).backward()
    for name, p in network.named_parameters():
        assert p.grad is not None and p.grad.abs().sum() > 0, name


BAD = [
    ({"core": "RNN"}, "unknown core 'RNN'; .*allowed: 'LSTM', 'GRU'"),
    ({"gate": "URR"}, "unknown gate 'URR'; did you mean 'UR'"),
    ({"hidden_size": 0}, "hidden_size is 0"),
    ({"code": 0}, "code is 0"),
    ({"actions": 0}, "actions is 0"),
    ({"batch_first": True}, "core.batch_first is True; allowed: False, since an"),
    ({"bidirectional": True}, "core.bidirectional is True"),
    ({"gat": "UR"}, "unknown option of LSTM 'gat'; did you mean 'gate'"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_what_makes_no_network_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(**{"hidden_size": 4} | options)


def test_a_network_learns_from_labels_through_the_common_loop():
    """The control: memory without credit assignment, with the same weights."""
    task = Labelled(Match(explore=1, delay=1, shuffled=False), 32)
    model = Answerer(build("LSTM", 16, actions=4, gate="UR"))
    x, target = task.validation()[0]
    assert model(x).shape == (1, 512, 4)
    history = fit_task(model, task, Plan(60, 1e-2, evaluate_every=60))
    first, last = history.curves["accuracy"]
    assert first < 0.5 and last > 0.9


def test_any_module_called_as_an_lstm_may_be_the_core():
    network = Network(LSTM(12, 5, num_layers=2), code=12)
    with evaluating(network):
        logits, (h, _) = network.step(torch.zeros(2, FEATURES))
    assert logits.shape == (2, 4) and h.shape == (2, 2, 5)


def test_a_core_reads_the_encoders_code():
    with pytest.raises(ValueError, match="core.input_size is 12; allowed: code, which"):
        Network(LSTM(12, 5))
