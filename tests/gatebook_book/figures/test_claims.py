"""The ledger in HTML: what a reader without JavaScript sees."""

import re
from xml.etree import ElementTree

import pytest
from gatebook_book.figures import claims
from gatebook_book.runs import ledger


def row(verdict="agrees (small)", **other):
    given = {
        "claim": "UR < LSTM",
        "quote": "it 'is'",
        "source": "P2 §3",
        "paper": "0.1",
        "ours": "UR 0.2 [0.1, 0.3]; LSTM 2 [1, 3]",
        "metric": "loss",
        "values": {"UR": [0.1, 0.2, 0.3], "LSTM": [1.0, 2.0, 3.0]},
        "runs": 6,
        "diverged": 0,
        "first_day": "2026-01-02",
        "scale": "laptop, N = 5",
        "rules": {"reproduced": 'high("UR") < low("LSTM")'},
        "fixed": "abc, 2026-01-01",
        "verdict": verdict,
        "evidence": "laptop: agrees (small)",
        "page": "memory/copy",
        "command": "gatebook run memory/copy",
    }
    return ledger.Row(**given | other)


def tree(made):
    """The HTML as a tree; it raises if a tag or an escape is wrong."""
    return ElementTree.fromstring(re.sub(r" data-filter>", ">", made.data))


def test_every_verdict_has_a_colour_and_a_sign_of_its_own():
    words = {*ledger.RULES, *ledger.OTHERWISE.values(), *ledger.SMALL.values()}
    assert words | {"no run"} == set(claims.KINDS)
    assert len(set(claims.KINDS.values())) == len(claims.KINDS)


def test_a_claim_unfolds_its_quote_rule_dates_and_command():
    found = "".join(tree(claims.table([row()])).itertext())
    for words in (
        "it 'is'",
        'high("UR") < low("LSTM")',
        "rule of abc, 2026-01-01; first run of 2026-01-02",
        "gatebook run memory/copy",
        "laptop, N = 5",
    ):
        assert words in found


def test_each_run_is_a_dot_on_a_line_that_the_pages_rows_share():
    table = tree(claims.table([row(), row(values={"UR": [0.3, 3.0, 3.0]})]))
    pictures = table.findall(".//svg")
    first, second = (
        [float(c.get("cx")) for c in p.findall("circle")] for p in pictures
    )
    assert len(first) == 6 and first == sorted(first)
    assert second[0] == first[2] and second[1] == first[5]
    assert pictures[0].get("aria-label").startswith("UR 0.2")


@pytest.mark.parametrize("values", [[0.1, 1.0, 10.0], [1.0, 2.0, 3.0]])
def test_over_more_than_a_decade_equal_factors_are_equally_far_apart(values):
    picture = tree(claims.table([row(values={"UR": values})])).find(".//svg")
    a, b, c = (float(dot.get("cx")) for dot in picture.findall("circle"))
    assert c > b > a and b - a == pytest.approx(c - b, abs=0.2)


@pytest.mark.parametrize(
    "kind, verdicts",
    [
        ("agrees", ["reproduced", "agrees (small)"]),
        ("partly", ["partly", "partly (small)"]),
        ("differs", ["contradicted", "differs (small)"]),
        ("open", ["undecided", "no run"]),
    ],
)
def test_a_verdict_has_the_colour_of_its_direction_at_any_size(kind, verdicts):
    for verdict in verdicts:
        assert f"claim-chip claim-{kind}" in claims.chip(verdict)


def test_beside_the_dots_is_the_median_also_of_an_even_number_of_runs():
    found = tree(claims.table([row(values={"UR": [0.0, 1.0, 2.0, 9.0]})]))
    words = [text.text for text in found.find(".//svg").iter("text")]
    assert words == ["UR", "1.5"]


def test_the_tally_counts_each_verdict_of_a_page(monkeypatch):
    rows = [row(), row(), row("contradicted")]
    monkeypatch.setattr(claims, "entries", lambda page: rows)
    found = tree(claims.tally("memory/copy")).itertext()
    words = "".join(found).replace("\xa0", " ")
    assert words.endswith("○ agrees (small) × 2 ■ contradicted × 1")


def test_a_tally_of_a_tables_own_verdicts_counts_them():
    found = tree(claims.chips(["partly", "reproduced", "partly"])).itertext()
    words = "".join(found).replace("\xa0", " ")
    assert words.endswith("● reproduced × 1 ◐ partly × 2")


def test_the_tally_at_the_papers_size_leaves_small_runs_and_claims_without_one_out():
    words = ["undecided", "agrees (small)", "reproduced", "no run", "undecided"]
    found = tree(claims.tally_at_size([row(word) for word in words])).itertext()
    text = "".join(found).replace("\xa0", " ")
    lead = "The verdicts at the paper's own size"
    assert text == f"{lead}: ● reproduced × 1 ? undecided × 2"


def test_a_method_whose_runs_all_diverged_is_named():
    found = tree(claims.table([row(values={"UR": []}, diverged=3)]))
    assert "diverged" in "".join(found.find(".//svg").itertext())


def test_the_strip_has_a_square_for_each_claim_that_leads_to_its_row():
    lines = [row(), row("contradicted", source="P3 §4"), row("no run", source="ours")]
    squares = tree(claims.strip(lines, "ledger.html")).findall(".//a")
    ids = [tr.get("id") for tr in tree(claims.table(lines)).findall(".//tr")[1:]]
    assert [a.get("href") for a in squares] == [f"ledger.html#{i}" for i in ids]
    assert len(set(ids)) == 3 and squares[1].get("title") == "contradicted: UR < LSTM"


def test_the_strip_says_how_many_claims_were_judged_at_which_size():
    lines = [row(), row("differs (small)"), row("reproduced"), row("no run")]
    words = "".join(tree(claims.strip(lines)).itertext()).replace("\xa0", " ")
    assert "Of 4 claims, 1 are judged at the paper's own size and 2 by smaller" in words
    assert "1 have no run yet" in words and "2 agree, 1 differ, 1 open" in words


def test_every_figure_of_a_claim_has_a_name_for_readers():
    found = {c.metric for page in ledger.pages() for c in ledger.claims(page)} - {None}
    assert found == set(claims._names())
    words = "".join(tree(claims.table([row(metric="rise svd-64")])).itertext())
    assert "rise of the perplexity at rank 64 in % ↓, logarithmic axis" in words


def test_a_share_is_shown_as_a_percentage_and_other_figures_as_they_are():
    share = row(metric="rise svd-64", values={"UR": [0.1, 0.2, 0.3], "G2": []})
    found = tree(claims.table([share]))
    assert [text.text for text in found.find(".//svg").iter("text")][:2] == ["UR", "20"]
    assert "UR 20 [10, 30]; G2 diverged" in "".join(found.itertext())
    assert "UR 0.2 [0.1, 0.3]" in "".join(tree(claims.table([row()])).itertext())


@pytest.mark.parametrize(
    "source, kind",
    [
        ("P2 §3.1", "P2"),
        ("our own question", "ours"),
        ("ours, after P1 §3", "ours"),
        ("Feng et al. 2024, Table 1", "others"),
    ],
)
def test_a_claim_is_a_papers_ours_or_somebody_elses(source, kind):
    assert claims.paper_of(row(source=source)) == kind
    lines = tree(claims.strip([row(source=source)]))
    assert [dt.text for dt in lines.iter("dt")] == [kind]


@pytest.mark.parametrize("second, shown", [("laptop, N = 5", 0), ("own, N = 9", 2)])
def test_a_scale_that_all_rows_share_stands_in_the_caption(monkeypatch, second, shown):
    monkeypatch.setattr(claims, "entries", lambda page: [row(), row(scale=second)])
    made = claims.of_page("memory/copy", "Copy.")
    caption = tree(made).find(".//caption").text
    assert ("All runs: laptop, N = 5." in caption) == (shown == 0)
    cells = tree(made).iter("td")
    here = [cell for cell in cells if cell.get("data-head") == "this book"]
    scales = [
        s.text for cell in here for s in cell.findall("small") if s.get("class") is None
    ]
    assert len(scales) == shown
