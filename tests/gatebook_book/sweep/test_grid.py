"""From the texts of a grid to its points, and every mistake before any starts."""

import json

import pytest
from gatebook_book.sweep.grid import points


def labels(*grid, **given):
    return [p.label for p in points("first", "laptop", list(grid), given)]


def test_a_grid_is_all_combinations_of_its_values(book):
    assert labels("gate=LSTM,UR", "rate=0.1,0.2") == [
        "gate=LSTM rate=0.1",
        "gate=LSTM rate=0.2",
        "gate=UR rate=0.1",
        "gate=UR rate=0.2",
    ]


def test_each_point_has_one_value_of_a_list(book):
    made = points("first", "laptop", ["gate=LSTM,UR"], {"rate": "0.25"})
    assert [p.parameters["gates"] for p in made] == [["LSTM"], ["UR"]]
    assert all(p.parameters["rate"] == 0.25 for p in made)


def test_on_a_gpu_one_point_has_all_values_of_a_list(book):
    page = book / "book/first.md"
    text = page.read_text()
    page.write_text(
        text.replace("rate: float", 'device: str = "cuda"  # d\nrate: float')
    )
    assert labels("gate=LSTM,UR", "rate=0.1,0.2") == [
        "gate=LSTM,UR rate=0.1",
        "gate=LSTM,UR rate=0.2",
    ]
    assert labels("gate=LSTM,UR", device="cpu") == ["gate=LSTM", "gate=UR"]
    (point,) = points("first", "laptop", ["gate=LSTM,UR"], {})
    assert point.parameters["gates"] == ["LSTM", "UR"]


def test_a_list_goes_by_its_own_name_too(book):
    made = points("first", "laptop", ["gates=LSTM,UR"], {})
    assert [p.parameters["gates"] for p in made] == [["LSTM"], ["UR"]]


def test_ranges_end_before_their_end(book):
    assert labels("steps=1:4") == ["steps=1", "steps=2", "steps=3"]
    assert labels("steps=1:8:3") == ["steps=1", "steps=4", "steps=7"]


def test_a_points_key_depends_on_its_values_alone(book):
    (typed,) = points("first", "laptop", ["rate=1e-1"], {})
    (again,) = points("first", "laptop", ["rate=0.1"], {"steps": "7"})
    other = points("first", "laptop", ["rate=0.2"], {})[0]
    assert typed.key == again.key != other.key


def test_a_kept_profiles_own_points_are_kept(book):
    def place(grid):
        where = points("first", "laptop", [grid], {})[0].context
        return where.results, where.profile

    assert place("gate=UR") == ("data/results", "laptop")
    assert place("gate=C") == ("_build/sweeps", "laptop")
    assert place("steps=9") == ("_build/sweeps", "laptop")


def test_a_point_takes_over_no_run_of_other_code(book):
    (kept,) = points("first", "laptop", ["gate=UR"], {})
    (own,) = points("first", "laptop", ["gate=C"], {})
    before = own.context.code
    page = book / "book/first.md"
    page.write_text(page.read_text().replace("steps * 2", "steps * 3"))
    assert kept.context.code == "" and own.context.code != before


def test_a_finished_point_counts_as_long_as_its_runs_do(book):
    both = [points("first", "laptop", [f"gate={g}"], {})[0] for g in ("UR", "C")]
    for point in both:
        noted = {"results": [], "code": point.context.code}
        point.file("json").parent.mkdir(parents=True, exist_ok=True)
        point.file("json").write_text(json.dumps(noted))
    page = book / "book/first.md"
    text = page.read_text()
    for old, new, counts in [
        ("", "", [True, True]),
        ("# how long", "# how many", [True, True]),  # a comment
        ("steps * 2", "steps * 3", [True, False]),  # the kept one counts still
    ]:
        page.write_text(text.replace(old, new))
        assert [point.record() is not None for point in both] == counts


MISTAKES = [
    ("gat=UR", "unknown grid parameter 'gat' of page first; did you mean 'gate'?"),
    ("sed=1", "did you mean 'steps'?"),
    ("gate", "grid is 'gate'; allowed: name=value,value or name=0:3"),
    ("gate=", "grid is 'gate='"),
    ("gate=UR,,LSTM", "grid gate is 'UR,,LSTM', with an empty value; allowed: each"),
    ("gate=UR,UR", "grid gate is 'UR,UR', with 'UR' twice; allowed: each once"),
    ("gate=LSTM,URR", "unknown gate 'URR'; did you mean 'UR'?"),
    ("steps=3:3", "grid steps is '3:3', an empty range; allowed: 1 to 10000"),
    ("steps=3:1", "grid steps is '3:1', an empty range"),
    (
        "steps=1:100000000",
        "is '1:100000000', a range of 99999999 values; allowed: 1 to",
    ),
    ("steps=1:9" + "9" * 30, "a range of 99"),
    ("steps=1:3:0", "grid steps is '1:3:0'; allowed: 0:3, 0:9:3 or 0,1,2"),
    ("steps=1:3:-1", "grid steps is '1:3:-1'; allowed: 0:3, 0:9:3 or 0,1,2"),
    ("steps= 1 : 3 ", "grid steps is ' 1 : 3 '; allowed: 0:3, 0:9:3 or 0,1,2"),
    ("steps=1:3,5", "grid steps is '1:3,5'; allowed: 0:3, 0:9:3 or 0,1,2"),
    ("steps=1,x", "steps is 'x'; allowed: a value of type int"),
    ("rate=0.1,1e-1", "grid point rate=0.1 is the same as rate=1e-1"),
]


@pytest.mark.parametrize(("grid", "message"), MISTAKES)
def test_a_mistake_is_reported_before_any_point_starts(book, grid, message):
    with pytest.raises(ValueError) as error:
        points("first", "laptop", [grid], {})
    assert message in str(error.value)


def test_a_name_is_given_once(book):
    for grid, given in (
        (["gate=UR", "gate=C"], {}),
        (["gate=UR", "gates=C"], {}),
        (["gate=UR"], {"gates": "C"}),
    ):
        with pytest.raises(ValueError, match="grid 'gate' is given twice"):
            points("first", "laptop", grid, given)


def test_a_grid_of_too_many_points_is_refused_at_once(book):
    with pytest.raises(ValueError, match="grid has 24000 points; allowed: at most 100"):
        points("first", "laptop", ["steps=1:3001", "rate=1:9"], {})
