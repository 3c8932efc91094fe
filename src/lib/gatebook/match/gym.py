"""Image Match for Gymnasium; needs ``pip install "gatebook[gymnasium]"``.

`MatchEnv` is one episode at a time, `MatchVectorEnv` a batch in lock step. All episodes
end at the same step, so the vector environment resets nothing by itself
(``AutoresetMode.DISABLED``): a step after the end is an error, and ``reset`` is to be
called. Importing this registers both with Gymnasium as ``gatebook/Match-v0``.
"""

from typing import Any

import numpy as np
from numpy import ndarray

try:
    import gymnasium
    from gymnasium import spaces
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space
except ImportError as error:
    raise ImportError(
        "gatebook.match.gym needs Gymnasium; allowed: pip install 'gatebook[gymnasium]'"
    ) from error

from gatebook.match.picture import enlarged, frame
from gatebook.match.rooms import MOVES
from gatebook.match.setting import Match
from gatebook.match.world import SIDE, Episodes
from gatebook.random import Streams

RATE = 5
"""Frames per second of a film."""


class _Played:
    """What both have: a setting, and episodes that a seed and a number decide."""

    def __init__(self, match: Match):
        self.match = match
        self.pixels = spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
        self.moves = spaces.Discrete(len(MOVES))
        self._streams, self._number = Streams(), 0  # a seed is drawn if one is needed

    def begin(self, count: int, seed: int | None) -> Episodes:
        """The first episodes of a new seed, or the next ones of the present seed."""
        if seed is None:
            self._number += 1
        else:
            self._streams, self._number = Streams(seed), 0
        return Episodes(self.match, count, self._streams.seed, "gym", self._number)


class MatchEnv(gymnasium.Env):
    """One episode at a time; ``info`` has what `Episodes` counts.

    Arguments:
        match: the setting; by default the reduced one.
        render_mode: ``"rgb_array"`` for pictures of the whole room, or ``None``.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": RATE}

    def __init__(self, match: Match | None = None, render_mode: str | None = None):
        self.played = _Played(match or Match())
        self.observation_space = self.played.pixels
        self.action_space = self.played.moves
        self.render_mode = render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ndarray, dict[str, Any]]:
        """Begin an episode; returns the first picture."""
        super().reset(seed=seed)
        self.episodes = self.played.begin(1, seed)
        return self.episodes.pixels()[0], self._info()

    def step(self, action: Any) -> tuple[ndarray, float, bool, bool, dict[str, Any]]:
        """One action; the episode is terminated at its last step, never truncated."""
        reward = self.episodes.step(np.array([action]))
        pixels, done = self.episodes.pixels()[0], self.episodes.done
        return pixels, float(reward[0]), done, False, self._info()

    def render(self) -> ndarray | None:
        """The whole room, 16 pixels for each cell."""
        if self.render_mode is None:
            return None
        return enlarged(frame(self.episodes).room)

    def _info(self) -> dict[str, Any]:
        return {k: v[0] for k, v in _counts(self.episodes).items()}


class MatchVectorEnv(VectorEnv):
    """A batch of episodes in lock step.

    Arguments:
        num_envs: how many.
        match: the setting; by default the reduced one.
    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}

    def __init__(self, num_envs: int, match: Match | None = None):
        self.played, self.num_envs = _Played(match or Match()), num_envs
        self.single_observation_space = self.played.pixels
        self.single_action_space = self.played.moves
        self.observation_space = batch_space(self.played.pixels, num_envs)
        self.action_space = batch_space(self.played.moves, num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ndarray, dict[str, Any]]:
        """Begin the episodes; returns the first pictures."""
        super().reset(seed=seed)
        self.episodes = self.played.begin(self.num_envs, seed)
        return self.episodes.pixels(), _counts(self.episodes)

    def step(
        self, actions: Any
    ) -> tuple[ndarray, ndarray, ndarray, ndarray, dict[str, Any]]:
        """One action in each; all are terminated at the last step."""
        rewards = self.episodes.step(np.asarray(actions))
        done = np.full(self.num_envs, self.episodes.done)
        ended = done, np.zeros_like(done)
        return self.episodes.pixels(), rewards, *ended, _counts(self.episodes)


def _counts(episodes: Episodes) -> dict[str, ndarray]:
    """Score, reward from apples, whether the cue was seen, the switch pressed."""
    names = ("score", "apples", "seen", "chosen")
    return {name: getattr(episodes, name).copy() for name in names}


gymnasium.register(
    "gatebook/Match-v0",
    entry_point="gatebook.match.gym:MatchEnv",
    vector_entry_point="gatebook.match.gym:MatchVectorEnv",
)
