"""Advantages, returns, and the loss of the actor and the critic."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gatebook.agents.network import Said
from gatebook.errors import check_between


def advantages(
    rewards: Float[Tensor, "T B"],
    values: Float[Tensor, "T B"],
    after: Float[Tensor, " B"],
    discount: float,
    trace: float,
) -> Float[Tensor, "T B"]:
    """How much better each action did than was expected (generalised advantages).

    With δ_t = r_t + γ V_{t+1} - V_t the advantage is A_t = δ_t + γ λ A_{t+1}. With
    λ = 1 it is the discounted return minus the value, with λ = 0 it is δ_t alone.

    Arguments:
        rewards: r, (T, B).
        values: V, the return that was expected at each step, (T, B).
        after: V of the step after the last one, (B,); 0 where the episode is over.
        discount: γ, in [0, 1].
        trace: λ, in [0, 1].

    Raises:
        ValueError: for unequal shapes, or a γ or λ outside [0, 1].

    Source: Schulman et al. 2016, arXiv 1506.02438, eq. 16.

    Example:
        >>> rewards, values = torch.tensor([[0.0], [1.0]]), torch.zeros(2, 1)
        >>> advantages(rewards, values, torch.zeros(1), 0.5, 1.0)[:, 0]
        tensor([0.5000, 1.0000])
    """
    _check_shapes(rewards, values, after)
    check_between("discount", discount, 0.0, 1.0)
    check_between("trace", trace, 0.0, 1.0)
    following = torch.cat([values[1:], after[None]])
    surprises = (rewards + discount * following - values).unbind()
    found, last = [], torch.zeros_like(after)
    for surprise in reversed(surprises):
        last = surprise + discount * trace * last
        found.append(last)
    return torch.stack(found[::-1])


def _check_shapes(rewards: Tensor, values: Tensor, after: Tensor) -> None:
    """Raise ``ValueError`` where one would be spread over the steps of another."""
    wanted = {"values": (values, rewards.shape), "after": (after, rewards.shape[1:])}
    for name, (value, shape) in wanted.items():
        if value.shape != shape:
            raise ValueError(
                f"{name} has the shape {tuple(value.shape)}; allowed: {tuple(shape)}, "
                "as of rewards"
            )


def actor_critic(
    said: Said,
    actions: Int[Tensor, "T B"],
    advantage: Float[Tensor, "T B"],
    value_cost: float,
    entropy_cost: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, "T B"]]:
    """The loss, a mean over steps and episodes, and the policy's entropy in nats.

    -log π(a_t) A_t + c_v/2 (G_t - V_t)² - c_e H(π_t), where the return G = A + V and
    the advantage A are taken as numbers: no gradient goes through them.

    Arguments:
        said: policy and value at each step.
        actions: taken, (T, B).
        advantage: A, (T, B).
        value_cost: c_v.
        entropy_cost: c_e.
    """
    advantage = advantage.detach()
    logs = said.logits.log_softmax(-1)  # never log 0
    taken = logs.gather(-1, actions[..., None])[..., 0]
    entropy = -(logs.exp() * logs).sum(-1)
    wrong = advantage + said.values.detach() - said.values
    loss = -taken * advantage + value_cost / 2 * wrong.square() - entropy_cost * entropy
    return loss.mean(), entropy.detach()
