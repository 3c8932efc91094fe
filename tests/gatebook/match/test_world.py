"""The world: phases, walls, apples, switches; what is drawn, and from what."""

import numpy as np
import pytest
from gatebook.match import Episodes, Match, Rooms, uniform
from gatebook.match.picture import enlarged, film, frame
from gatebook.match.players import perfect, play
from gatebook.match.rooms import PASSIVE, PUBLISHED_SWITCHES
from gatebook.match.world import AGENT, APPLE, FIRST, FLOOR, PALETTE, WALL
from gatebook.random import generator

NORTH, SOUTH, WEST, EAST = range(4)
LANE = ("#####", "#+a #", "#####")
"""One apple, beside the start."""


def run(match, *actions, count=2):
    """Episodes after some actions, the same in all of them, and the rewards."""
    episodes = Episodes(match, count, 0)
    rewards = [episodes.step(np.full(count, action)) for action in actions]
    return episodes, rewards


def lane(**options):
    rooms = Rooms(PASSIVE, apples=LANE)
    return Match(explore=1, layout=rooms, apples=1, **{"apple": 1.0} | options)


def test_each_phase_has_its_number_of_pictures():
    """The last action of a phase is answered by the first picture of the next one."""
    match = Match(explore=2, delay=3, choose=2)
    episodes, phases = Episodes(match, 1, 0), []
    while not episodes.done:
        phases.append(episodes.phase)
        episodes.step(np.array([NORTH]))
    assert phases == [0, 0, 1, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="over after 7 steps; allowed: new episodes"):
        episodes.step(np.array([NORTH]))


def test_numpys_integers_are_integers(unchecked):
    match = Match(explore=np.int64(5), delay=np.int64(20))
    assert run(match, *[NORTH] * 25)[0].phase == 2
    assert match.describe() == Match().describe()


def test_a_step_shares_no_array_with_its_caller():
    episodes, actions = Episodes(lane(), 2, 0), np.array([NORTH, SOUTH])
    reward = episodes.step(actions)
    actions[:], reward[:] = EAST, 7
    assert episodes.last_action.tolist() == [NORTH, SOUTH]
    assert episodes.last_reward.tolist() == [0, 0]


def test_without_apples_the_switches_follow_the_cue():
    episodes, _ = run(Match(explore=1, delay=0), NORTH)
    assert episodes.phase == 2 and (episodes.window >= FIRST).sum() == 2 * 4


def test_the_cue_is_shown_in_its_colour_and_stands_in_the_way():
    episodes, _ = run(Match(), NORTH, WEST)
    window = episodes.window.reshape(-1, 5, 5)
    around = np.array([[1, 1], [1, 2], [1, 3], [2, 1], [2, 3], [3, 1], [3, 2], [3, 3]])
    for k, cue in enumerate(episodes.cue):
        assert (window[k][tuple(around.T)] == FIRST + cue).all()
    assert (window[:, 2, 2] == AGENT).all() and (window[:, 0] == WALL).all()
    assert episodes.pixels().dtype == np.uint8
    assert np.array_equal(episodes.pixels()[0, 2, 2], PALETTE[AGENT])
    assert episodes.seen.all()


def test_a_hidden_cue_is_in_one_of_its_places_and_every_one_of_them_comes_up():
    episodes = Episodes(Match.published("active"), 2000, 0)
    boards = np.stack([episodes.board(k) for k in range(2000)])
    assert ((boards >= FIRST).sum((1, 2)) == 1).all()
    assert len(np.unique((boards >= FIRST).reshape(2000, -1).argmax(1))) == 26
    assert len(np.unique(episodes.at)) == 10  # and every start
    assert 0 < episodes.seen.mean() < 0.5


def test_walls_stop_and_free_cells_do_not():
    match = lane(delay=9)
    episodes, _ = run(match, NORTH, EAST, EAST, EAST)
    there = episodes.at.copy()
    episodes.step(np.array([EAST, NORTH]))
    assert np.array_equal(episodes.at, there)  # at the lane's end
    episodes.step(np.array([WEST, WEST]))
    assert np.array_equal(episodes.at, there - 1)


def test_an_apple_gives_its_reward_once_and_comes_back():
    match = lane(delay=9, respawn=2)
    # There, away, and waiting: it is back when more than two steps have passed.
    actions = (NORTH, EAST, EAST, EAST, EAST, WEST)
    episodes, rewards = run(match, *actions)
    assert [r[0] for r in rewards] == [0, 1, 0, 0, 0, 1]
    assert (episodes.apples == 2).all() and (episodes.score == 0).all()


def test_an_apple_that_comes_back_under_an_agent_is_eaten_if_it_stays():
    match = lane(delay=9, respawn=1)
    _, stays = run(match, NORTH, EAST, NORTH, NORTH, NORTH)
    assert [r[0] for r in stays] == [0, 1, 0, 0, 1]
    left, goes = run(match, NORTH, EAST, NORTH, NORTH, EAST)
    assert [r[0] for r in goes] == [0, 1, 0, 0, 0]
    assert (left.board(0) == APPLE).sum() == 1


def test_each_episode_has_one_of_the_two_rewards_for_apples():
    match = lane(delay=40, respawn=0, apple=(1.0, 10.0))
    _, rewards = run(match, NORTH, *[EAST, WEST] * 20, count=400)
    eaten = np.stack(rewards).sum(0) / np.count_nonzero(rewards, axis=0)
    assert set(eaten) == {1, 10} and 0.4 < (eaten == 1).mean() < 0.6


def test_as_many_apples_lie_there_as_the_setting_says():
    episodes, _ = run(Match(explore=1, apples=7), NORTH, count=50)
    boards = [episodes.board(k) for k in range(50)]
    assert [(board == APPLE).sum() for board in boards] == [7] * 50
    assert any(not np.array_equal(boards[0], board) for board in boards)


@pytest.mark.parametrize("match", [Match(), Match.published("passive")])
def test_the_right_switch_pays_and_all_are_gone_after_one(match):
    episodes = play(match, perfect, 200)
    assert (episodes.score == 10).all()
    assert np.array_equal(episodes.chosen, episodes.answer)
    assert all((episodes.board(k) < FIRST).all() for k in range(200))
    assert set(episodes.answer) == set(range(match.switches))


def test_another_switch_pays_less_and_one_choice_is_all():
    def wrong(episodes, g):
        if episodes.phase < 2:
            return uniform(episodes, g)
        return np.tile([NORTH, SOUTH][(episodes.time - 25) // 2], 300)

    episodes = play(Match(), wrong, 300)
    assert (episodes.chosen == 0).all()
    assert set(episodes.score) == {1, 10}
    assert ((episodes.score == 10) == (episodes.answer == 0)).all()


def test_only_who_stands_on_a_switch_has_pressed_it():
    rooms = Rooms(PASSIVE, switches=PUBLISHED_SWITCHES)
    match = Match(explore=1, delay=0, layout=rooms)
    assert (run(match, *[NORTH] * 4)[0].chosen == -1).all()
    assert (run(match, *[NORTH] * 5)[0].chosen == 1).all()  # the middle one


def test_fixed_switches_have_fixed_colours_and_shuffled_ones_do_not():
    fixed = Episodes(Match(shuffled=False), 50, 0)
    assert (fixed.dealt == np.arange(4)).all() and len(set(fixed.cue)) == 4
    shuffled = Episodes(Match(colours=6), 500, 0)
    assert set(shuffled.dealt.ravel()) == set(range(6))
    assert all(len(set(row)) == 4 for row in shuffled.dealt.tolist())


def after(match, seed, *name):
    """Everything that an episode has drawn, and what comes of some actions."""
    episodes, g = Episodes(match, 30, seed, *name), generator(0)
    while not episodes.done:
        episodes.step(uniform(episodes, g))
    return np.stack([episodes.cue, episodes.answer, episodes.chosen, episodes.apples])


def test_an_episode_is_decided_by_its_seed_and_name_alone():
    match = Match("active", apple=1.0)
    same = [after(match, 0, "train", 3) for _ in range(2)]
    assert np.array_equal(*same)
    for other in (after(match, 1, "train", 3), after(match, 0, "train", 4)):
        assert not np.array_equal(same[0], other)


def test_what_is_drawn_for_one_purpose_moves_no_other():
    plain = Episodes(Match(apples=3), 99, 0)
    more = Episodes(Match(apples=9, apple=(1.0, 10.0)), 99, 0)
    assert np.array_equal(plain.dealt, more.dealt)
    assert np.array_equal(plain.cue, more.cue)


BAD = [
    (np.array([0, 4]), "an action is 4; allowed: from 0 to 3"),
    (np.array([-1, 0]), "an action is -1"),
    (np.array([0]), r"actions are int64 of shape \(1,\); allowed: .* \(2,\)"),
    (np.array([0.0, 1.0]), "actions are float64"),
]


@pytest.mark.parametrize(("actions", "message"), BAD)
def test_actions_that_there_are_not_are_refused(actions, message):
    episodes = Episodes(Match(), 2, 0)
    with pytest.raises(ValueError, match=message):
        episodes.step(actions)
    assert episodes.time == 0
    with pytest.raises(ValueError, match="batch_size is 0"):
        Episodes(Match(), 0, 0)


def test_a_film_shows_the_whole_room_and_what_the_agent_sees_of_it():
    frames = film(Match(), perfect)
    assert [f.time for f in frames] == list(range(30))
    assert [f.phase for f in frames].index("apples") == 5
    assert sum(f.reward for f in frames) == 10
    for f in frames:
        assert np.array_equal(f.room[f.at], PALETTE[AGENT])
        padded = np.pad(f.room, ((2, 2), (2, 2), (0, 0)), constant_values=204)
        window = padded[f.at[0] : f.at[0] + 5, f.at[1] : f.at[1] + 5]
        assert np.array_equal(window, f.seen)
    assert enlarged(frames[0].room, 3).shape == tuple(
        n * k for n, k in zip(frames[0].room.shape, (3, 3, 1), strict=True)
    )


def test_a_picture_changes_nothing():
    episodes, _ = run(Match(), NORTH)
    before = episodes.board(1)
    frame(episodes, 1).room[:] = 0
    assert np.array_equal(episodes.board(1), before)
    assert before.max() >= FIRST and (before == FLOOR).any()
