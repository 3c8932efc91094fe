"""What players are worth: derived values against games that were played."""

import pytest
from gatebook.match import Match, perfect, play, references, searching, uniform

SETTINGS = {
    "reduced": Match("active", explore=15),
    "published": Match.published("active"),
    "passive": Match.published("passive", delay=2),
}
COUNT = 2000


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize(
    ("player", "line"),
    [
        (uniform, "uniform actions"),
        (searching, "undirected search"),
        (perfect, "solved"),
    ],
)
def test_a_player_scores_what_is_derived_for_it(name, player, line):
    match = SETTINGS[name]
    score = play(match, player, COUNT).score.astype(float)
    error = 4 * score.std() / COUNT**0.5
    assert score.mean() == pytest.approx(references(match)[line], abs=error + 1e-6)


def test_the_lines_of_the_published_grid_are_known():
    lines = references(Match.published("active"))
    assert lines["random choice"] == pytest.approx(10 / 3)
    assert lines["uniform actions"] == pytest.approx(0.512, abs=1e-3)
    assert lines["undirected search"] == pytest.approx(7.46, abs=5e-3)
    # 8.0 apples in 90 steps of uniform actions, at 5.5 each.
    apples = play(Match.published("active", apple=1.0), uniform, COUNT).apples
    assert apples.mean() == pytest.approx(8.0, abs=0.25)


def test_who_chooses_blindly_has_the_mean_of_the_rewards():
    assert references(Match())["random choice"] == (10 + 3 * 1) / 4
    # Two steps lead to a switch in 4 of 16 ways; none is in reach of one.
    assert references(Match(choose=2))["uniform actions"] == pytest.approx(3.25 / 4)
    assert references(Match(choose=1))["uniform actions"] == 0


def test_a_cue_that_is_shown_makes_search_needless():
    lines = references(Match("passive"))
    assert lines["undirected search"] == lines["solved"] == 10
