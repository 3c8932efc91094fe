"""Advantages and the loss, against their definitions written out."""

import itertools

import pytest
import torch
from gatebook.agents import Said, act, actor_critic, advantages, build
from gatebook.match import Episodes, Match
from gatebook.random import generator


def by_hand(rewards, values, after, discount, trace):
    """A_t as the sum over k of (γλ)^k δ_{t+k}."""
    steps = len(rewards)
    following = [*values[1:], after]
    deltas = [
        r + discount * v_next - v
        for r, v, v_next in zip(rewards, values, following, strict=True)
    ]
    return torch.stack(
        [
            sum((discount * trace) ** (k - t) * deltas[k] for k in range(t, steps))
            for t in range(steps)
        ]
    )


@pytest.mark.parametrize(
    ("discount", "trace"), list(itertools.product((0.0, 0.9, 1.0), (0.0, 0.7, 1.0)))
)
def test_advantages_are_the_sums_of_the_definition(discount, trace):
    rewards, values, after = torch.randn(7, 3), torch.randn(7, 3), torch.randn(3)
    found = advantages(rewards, values, after, discount, trace)
    wanted = by_hand(rewards, values, after, discount, trace)
    torch.testing.assert_close(found, wanted)


def test_without_traces_cut_it_is_the_return_minus_the_value():
    rewards, values = torch.zeros(20, 1), torch.full((20, 1), 0.5)
    rewards[-1] = 1
    found = advantages(rewards, values, torch.zeros(1), 0.9, 1.0)
    torch.testing.assert_close(found[0, 0], torch.tensor(0.9**19 - 0.5))


def test_the_loss_is_its_formula_and_takes_the_advantage_as_a_number():
    logits = torch.randn(5, 2, 4, requires_grad=True)
    values = torch.randn(5, 2, requires_grad=True)
    actions = torch.randint(4, (5, 2))
    found = torch.randn(5, 2, requires_grad=True)
    loss, entropy = actor_critic(Said(logits, values), actions, found, 0.4, 0.03)
    law = torch.distributions.Categorical(logits=logits)
    wanted = -law.log_prob(actions) * found.detach()
    wanted = wanted + 0.2 * found.detach().square() - 0.03 * law.entropy()
    torch.testing.assert_close(loss, wanted.mean())
    torch.testing.assert_close(entropy, law.entropy().detach())
    loss.backward()
    assert found.grad is None
    # Towards the return: minus the advantage, times c_v, over all steps.
    torch.testing.assert_close(values.grad, -0.4 * found.detach() / 10)


def test_a_certain_policy_has_entropy_zero_and_no_nan():
    logits = torch.tensor([[[1e4, -1e4, 0.0, 0.0]]], requires_grad=True)
    said = Said(logits, torch.zeros(1, 1))
    loss, entropy = actor_critic(said, torch.tensor([[0]]), torch.ones(1, 1), 1.0, 1.0)
    loss.backward()
    assert entropy.item() == 0 and logits.grad.isfinite().all()


def test_advantages_of_unequal_shapes_or_odd_rates_are_refused(unchecked):
    one, zero = torch.ones(5, 3), torch.zeros(3)
    for bad, words in (
        (
            (one, one[:, :1], zero, 0.9, 1.0),
            r"values has the shape \(5, 1\); allowed: \(",
        ),
        (
            (one, one, zero[:1], 0.9, 1.0),
            r"after has the shape \(1,\); allowed: \(3,\)",
        ),
        ((one, one, zero, 1.1, 1.0), "discount is 1.1; allowed: a number from 0.0 to"),
        ((one, one, zero, 0.9, -0.1), "trace is -0.1"),
    ):
        with pytest.raises(ValueError, match=words):
            advantages(*bad)


def test_an_unroll_has_a_step():
    network, episodes, g = build("LSTM", 4), Episodes(Match(), 2, 0), generator(0)
    with pytest.raises(ValueError, match="steps is 0; allowed: an integer >= 1"):
        act(network, episodes, None, 0, g)
    act(network, episodes, None, 99, g)
    with pytest.raises(ValueError, match="over after 29 steps; allowed: new episodes"):
        act(network, episodes, None, 1, g)
