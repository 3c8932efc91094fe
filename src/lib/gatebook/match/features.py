"""What a network is given of an episode: pixels, last action, last reward."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gatebook.match.rooms import MOVES
from gatebook.match.world import PALETTE, SIDE, Episodes

PIXELS = SIDE * SIDE * 3
FEATURES = PIXELS + len(MOVES) + 1
"""75 pixels, four places for the action, one for the reward."""
REWARD_SCALE = 0.1
"""Rewards, which go up to 10, reach a network times this."""

_BRIGHT = PALETTE.astype(np.float32) / 127.5 - 1
_ONE_HOT = np.eye(len(MOVES) + 1, len(MOVES), dtype=np.float32)
"""A row for each action; the last one, for -1, is zero."""


def encode(episodes: Episodes) -> Float[Tensor, "B 80"]:
    """The features of the picture that is seen now, and of the step that led to it.

    Pixels are scaled to [-1, 1]: between 0 and 1 the cue stands out less, and agents
    did not learn from it.
    """
    features = np.empty((episodes.batch_size, FEATURES), np.float32)
    pixels = _BRIGHT.take(episodes.window, axis=0)
    features[:, :PIXELS] = pixels.reshape(-1, PIXELS)
    features[:, PIXELS:-1] = _ONE_HOT.take(episodes.last_action, axis=0)
    features[:, -1] = episodes.last_reward * REWARD_SCALE
    return torch.from_numpy(features)
