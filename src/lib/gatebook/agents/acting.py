"""Acting: the steps of an unroll, one at a time, without gradients."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gatebook.agents.network import Network
from gatebook.errors import check_count
from gatebook.match.features import REWARD_SCALE, encode
from gatebook.match.rooms import MOVES
from gatebook.match.world import Episodes
from gatebook.modes import evaluating
from gatebook.random import uniform


class Unroll(NamedTuple):
    """Some steps of a batch of episodes, as the learner needs them.

    Attributes:
        x: features of what was seen (n, B, features); where the episodes go on, with
            the picture after the last step, (n + 1, B, features).
        actions: taken, 0 to 3, (n, B).
        rewards: scaled as in `gatebook.match.encode`, (n, B).
        before: the core's state before the first step; ``None`` at an episode's start.
        after: the state after the last one; ``None`` at an episode's end.
    """

    x: Float[Tensor, "N B F"]
    actions: Int[Tensor, "n B"]
    rewards: Float[Tensor, "n B"]
    before: Any
    after: Any


def act(
    network: Network, episodes: Episodes, state: Any, steps: int, g: torch.Generator
) -> Unroll:
    """Play on for some steps, or to the end of the episodes if that is nearer.

    An action is drawn by the Gumbel trick: the largest of logit + noise. The network is
    in evaluation mode meanwhile, so that its core takes the short way of one step.

    Arguments:
        network: chooses the actions.
        episodes: are played on.
        state: of the network's core; ``None`` at the start of the episodes.
        steps: at most this many.
        g: draws the actions' noise.

    Raises:
        ValueError: for less than one step, or episodes that are over.
    """
    check_count("steps", steps)
    episodes.check_going_on()
    match, device = episodes.match, network.encoder.weight.device
    steps = min(steps, match.length - episodes.time)
    noise = gumbel((steps, episodes.batch_size, len(MOVES)), g).to(device)
    seen, actions, rewards, before = [], [], [], state
    with evaluating(network):
        for k in range(steps):
            seen.append(encode(episodes).to(device))
            logits, state = network.step(seen[-1], state)
            actions.append((logits + noise[k]).argmax(-1))
            rewards.append(torch.from_numpy(episodes.step(actions[-1].cpu().numpy())))
    if episodes.done:
        state = None
    else:
        seen.append(encode(episodes).to(device))
    earned = torch.stack(rewards).to(device) * REWARD_SCALE
    return Unroll(torch.stack(seen), torch.stack(actions), earned, before, state)


def gumbel(shape: tuple[int, ...], g: torch.Generator) -> Float[Tensor, "*shape"]:
    """Draws of the standard Gumbel law, -log(-log U)."""
    drawn = uniform(g, *shape).clamp_(min=1e-12)
    return -torch.log(-torch.log(drawn))
