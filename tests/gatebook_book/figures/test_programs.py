"""The figures on programs, from runs made by hand."""

import pytest
from gatebook_book.figures import programs as figures
from matplotlib import pyplot as plt


def run(name, core="LSTM", kind="addition", seed=0, **more):
    curves = {"step": [0, 5], "loss": [2.0, 1.0 + seed]}
    given = {"name": name, "seed": seed, "curves": curves, "status": "finished"}
    return given | {"parameters": {"core": core, "kind": kind}} | more


GUESS = dict.fromkeys(figures.KINDS, 1.5)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_panel_shows_its_own_core_and_kind_in_the_gates_colours():
    runs = [run("UR", seed=k) for k in range(3)] + [run("UR-RMC", core="RMC")]
    fig = figures.curves(runs, "loss", "loss", GUESS)
    lstm, rmc = fig.axes[0], fig.axes[3]
    medians = [ax.get_legend_handles_labels()[0] for ax in (lstm, rmc)]
    assert [list(line[0].get_ydata()) for line in medians] == [[2, 2], [2, 1]]
    assert medians[0][0].get_color() == medians[1][0].get_color()
    assert [ax.axison for ax in fig.axes[:4]] == [True, False, False, True]
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["UR"]


def test_without_runs_a_figure_says_so():
    for fig in (
        figures.curves([], "loss", "loss", GUESS),
        figures.digits([], ["UR"]),
        figures.gates_over_characters([], ["UR"]),
    ):
        assert any(t.get_text() == "no run stored yet" for t in fig.texts)


def test_the_memory_of_a_dnc_has_its_gates_colour_and_a_line_of_its_own():
    runs = [run("UR-DNC", core="DNC"), run("UR-DNC+memory", core="DNC")]
    fig = figures.curves(runs, "loss", "loss", GUESS, cores=("DNC",))
    a, b = fig.axes[0].get_legend_handles_labels()[0]
    assert a.get_color() == b.get_color() and a.get_linestyle() != b.get_linestyle()
    names = [t.get_text() for t in fig.legends[0].get_texts()]
    assert names == ["UR-DNC", "UR-DNC+memory"]


def place(place, carry, count, right):
    return dict(digits=3, place=place, carry=carry, count=count, right=right)


def test_digits_are_pooled_over_runs():
    after = [place(1, 0, 4, 1), place(1, 1, 6, 3), place(0, 0, 5, 5)]
    runs = [run("UR", places={"after": after}), run("UR", places={"after": None})]
    assert figures.right_by(runs, ("place",)) == {(0,): 1.0, (1,): 0.4}
    assert figures.right_by(runs, ("place", "carry"))[1, 1] == 0.5
    fig = figures.digits(runs, ["UR"])
    assert [t.get_text() for t in fig.axes[0].get_xticklabels()] == ["tens", "ones"]


def test_gates_over_characters_name_the_characters():
    rows = {"3": [0.0, 1.0, 0.5], "4": [1.0, 1.0, 1.0]}
    trace = {"program": "1+", "keeping": rows, "varying": rows}
    fig = figures.gates_over_characters([run("UR", traces={"after": trace})], ["UR"])
    labels = [t.get_text() for t in fig.axes[0].get_xticklabels()]
    assert labels == ["1", "+", "·"]
    assert fig.axes[0].images[0].get_array().shape == (4, 3)


def test_levels_and_units_are_medians_of_the_seeds():
    def level(exact):
        return [{"length": 1, "nesting": 2, "accuracy": 0.5, "exact": exact}]

    runs = [
        run("UR", levels={"after": level(e)}, kept={"after": {"after": kept}})
        for e, kept in ((0.1, [0.6, 0.4]), (0.9, [0.9, 0.5]), (0.3, [0.0, 0.1]))
    ]
    assert figures.levels(runs)[0]["right answers"] == "30 %"
    assert figures.holding(runs, "after") == 1
    assert figures.holding([], "after") is None


def test_answers_stand_beside_each_other_with_marks():
    def answers(*written):
        return {
            "after": [{"program": "1+2", "answer": "3", "written": w} for w in written]
        }

    runs = [run("UR", answers=answers("3", "4")), run("C", answers=answers("1", "3"))]
    assert figures.beside(runs, ["C", "UR", "OM"]) == [
        {"program": "1+2", "answer": "3", "C": "3 ✓", "UR": "4 ✗"}
    ]
    assert figures.beside(runs, ["UR"], hardest=False)[0]["UR"] == "3 ✓"


@pytest.mark.parametrize(
    ("name", "gate"), [("DNC", "LSTM"), ("UR-DNC+memory", "UR"), ("OM-RMC", "OM")]
)
def test_a_method_has_the_colour_of_its_gate(name, gate):
    assert figures.gate_of(name) == gate
