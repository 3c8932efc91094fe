"""Agents in training: what acts is what learns; unrolls; resume; learning itself."""

import dataclasses
import math
import os
import signal
import threading

import numpy as np
import pytest
import torch
from gatebook.agents import A2C, act, build, fit, training
from gatebook.agents.acting import gumbel
from gatebook.match import Episodes, Match, encode
from gatebook.random import generator
from gatebook.training.checkpoint import CheckpointError, progress_of

MATCH = Match(explore=2, delay=3, choose=3, apple=1.0)
RECIPE = A2C(6, batch_size=4, note_every=2)


def network(seed=0, **options):
    return build("LSTM", 6, seed, **{"gate": "UR"} | options)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_the_learner_sees_what_the_actor_saw_and_gives_its_probabilities():
    agent, episodes = network(), Episodes(MATCH, 5, 0)
    unroll = act(agent, episodes, None, 99, generator(0))
    assert episodes.done and unroll.after is None and len(unroll.x) == MATCH.length
    again, noise = Episodes(MATCH, 5, 0), gumbel((8, 5, 4), generator(0))
    logits = agent(unroll.x).logits
    assert torch.equal((logits + noise).argmax(-1), unroll.actions)
    for k, actions in enumerate(unroll.actions):
        assert torch.equal(encode(again), unroll.x[k])
        earned = again.step(actions.numpy())
        np.testing.assert_allclose(earned * 0.1, unroll.rewards[k], rtol=1e-6)
    assert np.array_equal(again.score, episodes.score)


def test_actions_are_drawn_from_the_policy():
    logits = torch.tensor([1.0, 0.0, -1.0, 2.0])
    drawn = (logits + gumbel((40_000, 4), generator(0))).argmax(-1)
    shares = torch.bincount(drawn, minlength=4) / 40_000
    torch.testing.assert_close(shares, logits.softmax(-1), atol=0.01, rtol=0)


def test_unrolls_cover_an_episode_and_carry_the_state_to_its_end():
    agent, episodes, g = network(), Episodes(MATCH, 5, 0), generator(0)
    parts, state = [], None
    while not episodes.done:
        parts.append(act(agent, episodes, state, 3, g))
        state = parts[-1].after
    assert [len(p.actions) for p in parts] == [3, 3, 2]
    assert [len(p.x) for p in parts] == [4, 4, 2]  # one more to look ahead
    assert parts[0].before is None and parts[2].after is None
    whole = torch.cat([p.x[: len(p.actions)] for p in parts])
    torch.testing.assert_close(
        agent(parts[2].x, parts[2].before).logits, agent(whole).logits[6:]
    )
    assert torch.equal(parts[0].x[3], parts[1].x[0])


def gradients(agent, recipe):
    """The sums of each step's loss gradient over one batch, clipping aside."""
    run, found = training._Training(agent, MATCH, recipe, 0, None, None), []
    run._descend = lambda loss: found.append(loss) or True
    run.begin()
    run.advance()
    return found


def test_a_short_unroll_looks_ahead_with_the_value_of_the_next_picture():
    """With λ = 0 each step's loss needs the next value alone, unrolled or not."""
    recipe = dataclasses.replace(RECIPE, trace=0.0)
    (whole,) = gradients(network(), recipe)
    parts = gradients(network(), dataclasses.replace(recipe, unroll=4))
    assert len(parts) == 2
    torch.testing.assert_close((parts[0] + parts[1]) / 2, whole)


def test_curves_are_means_over_the_batches_between_their_points():
    seen = []
    history = fit(network(), MATCH, RECIPE, report=seen.append)
    assert history.curves["step"] == [2, 4, 6] and len(seen) == 3
    assert history.status == "finished"
    names = {"step", "score", "apples", "seen", "pressed", "entropy", "value_error"}
    assert set(history.curves) == names
    single = fit(network(), MATCH, dataclasses.replace(RECIPE, note_every=1))
    for name in names - {"step"}:
        pairs = zip(single.curves[name][::2], single.curves[name][1::2], strict=True)
        assert history.curves[name] == pytest.approx([(a + b) / 2 for a, b in pairs])
    # Nearly uniform at first, in the last phase.
    assert single.curves["entropy"][0] == pytest.approx(math.log(4), abs=0.02)


@pytest.mark.parametrize("unroll", [None, 3])
def test_a_run_goes_on_with_the_same_numbers(tmp_path, unroll):
    recipe = dataclasses.replace(RECIPE, unroll=unroll)
    whole = network(gate="G2")
    wanted = fit(whole, MATCH, recipe)
    file = tmp_path / "run.safetensors"
    run = training._Training(network(gate="G2"), MATCH, recipe, 0, file, None)
    run.begin()
    for _ in range(3):
        run.advance()
    run.store()
    again = network(seed=9, gate="G2")  # whose weights are all replaced
    found = fit(again, MATCH, recipe, checkpoint=file)
    assert torch.equal(weights(again), weights(whole))
    assert found.curves == wanted.curves


def test_ctrl_c_stores_a_whole_state(tmp_path):
    file = tmp_path / "run.safetensors"
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        fit(network(), MATCH, A2C(10**6, batch_size=4), checkpoint=file)
    done = progress_of(file)["history"]["step"]
    assert done > 0
    short = A2C(10**6, batch_size=4)
    run = training._Training(network(seed=3), MATCH, short, 0, file, None)
    run.begin()
    assert run.history.step == done


OTHERS = [
    ({"match": Match(explore=2, delay=4, choose=3)}, "match.delay is 4"),
    ({"match": Match("active", 2, 3, 3, apple=1.0)}, "match.mode is active"),
    ({"seed": 1}, "seed is 1"),
    ({"recipe": dataclasses.replace(RECIPE, discount=0.9)}, r"discount is 0\.9"),
    ({"network": build("LSTM", 6, gate="U")}, "was made with"),
    ({"network": build("GRU", 6, gate="UR")}, "was made with"),
]


@pytest.mark.parametrize(("other", "message"), OTHERS)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, other, message):
    file = tmp_path / "run.safetensors"
    run = training._Training(network(), MATCH, RECIPE, 0, file, None)
    run.begin()
    run.advance()
    run.store()
    given = {"network": network(), "match": MATCH, "recipe": RECIPE, "seed": 0} | other
    with pytest.raises(ValueError, match=message):
        fit(**given, checkpoint=file)
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match="delete it to start anew"):
        fit(network(), MATCH, RECIPE, checkpoint=file)


def test_other_seeds_are_other_episodes_and_actions():
    one, same, other = (
        fit(network(), MATCH, RECIPE, seed=seed).curves for seed in (0, 0, 1)
    )
    assert one == same and one != other


def test_what_is_not_finite_ends_the_run():
    agent = network()
    with torch.no_grad():
        agent.value[0].bias.fill_(math.inf)
    history = fit(agent, MATCH, RECIPE)
    assert history.status == "diverged" and history.diverged_at == 1
    assert not history.curves


def test_an_agent_finds_the_switches():
    """It starts at the uniform actions' 1.2 and gets above a random choice."""
    match = Match(explore=1, delay=0, shuffled=False)
    agent = build("LSTM", 16, gate="UR")
    recipe = A2C(80, batch_size=32, learning_rate=1e-2, note_every=20)
    score = fit(agent, match, recipe).curves["score"]
    assert score[0] < 3 < 4 < score[-1]


BAD = [
    ({"updates": 0}, "updates is 0"),
    ({"batch_size": -1}, "batch_size is -1"),
    ({"unroll": 0}, "unroll is 0"),
    ({"note_every": 0}, "note_every is 0"),
    ({"discount": 1.1}, r"discount is 1\.1; allowed: a number from 0\.0 to 1\.0"),
    ({"trace": -0.1}, r"trace is -0\.1"),
    ({"learning_rate": 0.0}, r"learning_rate is 0\.0"),
    ({"clip": math.nan}, "clip is nan"),
    ({"value_cost": -1.0}, "value_cost is -1"),
    ({"entropy_cost": math.inf}, "entropy_cost is inf"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_recipes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        A2C(**{"updates": 1} | options)
