"""The way to Gymnasium."""

import gymnasium
import numpy as np
import pytest
import torch
from gatebook.match import Match


def test_gymnasiums_own_checker_passes():
    from gatebook.match import gym  # noqa: F401
    from gymnasium.utils.env_checker import check_env

    check_env(gymnasium.make("gatebook/Match-v0", render_mode="rgb_array").unwrapped)


def test_one_episode_ends_at_its_length_and_says_what_it_counted():
    from gatebook.match.gym import MatchEnv

    env = MatchEnv(Match(delay=2), render_mode="rgb_array")
    first, info = env.reset(seed=3)
    assert info == {"score": 0, "apples": 0, "seen": True, "chosen": -1}
    for step in range(env.played.match.length):
        _, reward, terminated, truncated, info = env.step(0)
        assert terminated is (step == env.played.match.length - 1) and not truncated
    assert info["chosen"] == 0 and info["score"] in (1, 10)
    with pytest.raises(ValueError, match="over"):
        env.step(0)
    assert env.render().shape == (7 * 16, 11 * 16, 3)
    assert np.array_equal(env.reset(seed=3)[0], first)


def test_a_batch_ends_together_and_resets_nothing_by_itself():
    from gatebook.match.gym import MatchVectorEnv
    from gymnasium.vector import AutoresetMode

    envs = MatchVectorEnv(4, Match(delay=0))
    assert envs.metadata["autoreset_mode"] == AutoresetMode.DISABLED
    pixels, _ = envs.reset(seed=0)
    assert pixels in envs.observation_space
    for _ in range(9):
        pixels, rewards, terminated, truncated, info = envs.step(np.zeros(4, int))
    assert terminated.all() and not truncated.any()
    assert set(info["score"]) <= {1, 10} and rewards.shape == (4,)
    with pytest.raises(ValueError, match="over"):
        envs.step(np.zeros(4, int))
    first = envs.reset(seed=0)[0]
    second, third = envs.reset()[0], envs.reset()[0]
    assert not np.array_equal(second, third) and first.shape == second.shape


def test_an_environment_with_a_seed_leaves_torchs_generator_alone():
    from gatebook.match.gym import MatchEnv

    before = torch.get_rng_state()
    MatchEnv().reset(seed=0)
    assert torch.equal(torch.get_rng_state(), before)
