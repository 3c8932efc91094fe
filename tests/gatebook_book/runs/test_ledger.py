"""The ledger: a verdict follows from the stored runs and the committed rule."""

import json

import pytest
import yaml
from gatebook_book.pages.pages import page_names
from gatebook_book.runs import ledger
from gatebook_book.runs.claims import Claim, of_profile, pages
from gatebook_book.runs.history import Change
from gatebook_book.runs.ledger import entries, verdict


def run(name, loss, status="finished", seed=0, **parameters):
    metrics = {"loss": loss, "accuracy": 1 - loss}
    return {
        "page": "memory/copy",
        "name": name,
        "seed": seed,
        "status": status,
        "metrics": metrics,
        "parameters": {"length": 5} | parameters,
    }


def claim(rule, metric="loss", **fields):
    return Claim(
        "c", "P2", "p", "memory/copy", metric=metric, reproduced=rule, **fields
    )


def runs_of(name, *losses, **more):
    """One run a seed."""
    return [run(name, loss, seed=k, **more) for k, loss in enumerate(losses)]


RUNS = runs_of("UR", 0.1, 0.2, 0.6) + runs_of("LSTM", 2.0, 2.0, 2.0)
LOST = runs_of("C", *[0.1] * 3, status="diverged")


@pytest.mark.parametrize(
    "rule, holds",
    [
        ('median("UR") <= 0.2', True),
        ('median("UR") < 0.2', False),
        ('low("UR") == 0.1 and high("UR") == 0.6', True),
        ('seeds("UR") == 3 and seeds("LSTM") == 3', True),
        ('median("UR") <= 0.1 * log(8)', True),
        ('median("UR", "accuracy") == 0.8', True),
        ('max(median("UR"), median("LSTM")) > 3 or diverged("UR") == 0', True),
        ('median("LSTM") - median("UR") > 1.9', False),
    ],
)
def test_a_rule_is_worked_out_from_the_runs(rule, holds):
    expected = "agrees (small)" if holds else "differs (small)"
    assert verdict(claim(rule), RUNS) == expected


def test_a_weaker_rule_gives_partly():
    weak = {"partly": 'median("UR") < 1'}
    assert verdict(claim('median("UR") < 0.01', **weak), RUNS) == "partly (small)"
    assert verdict(claim('median("UR") < 1', **weak), RUNS) == "agrees (small)"


def test_a_method_without_a_run_is_an_honest_blank():
    assert verdict(claim('median("C") < 1'), RUNS) == "no run"
    assert verdict(claim('median("UR") < median("C")'), RUNS) == "no run"
    assert verdict(Claim("c", "P1", "p", "memory/copy"), RUNS) == "no run"


@pytest.mark.parametrize("sign", ["<", ">"])
def test_nothing_holds_of_a_method_whose_runs_all_diverged(sign):
    assert verdict(claim(f'median("C") {sign} 1'), LOST) == "differs (small)"
    assert verdict(claim('diverged("C") == 3'), LOST) == "agrees (small)"


@pytest.mark.parametrize("pair", ['median("C"), median("UR")', 'low("UR"), low("C")'])
@pytest.mark.parametrize("rule", ["min({}) < 9", "max({}) < 9", "0 < min({}, 1)"])
def test_nor_of_an_extreme_that_it_is_part_of(rule, pair):
    assert verdict(claim(rule.format(pair)), RUNS + LOST) == "differs (small)"


@pytest.mark.parametrize(
    "rule, word",
    [
        ('not median("C") < 1', "Not"),
        ('median("C") != 1', "NotEq"),
        ('1 if median("C") < 1 else 2 > 1', "IfExp"),
    ],
)
def test_a_word_that_would_hold_without_a_figure_is_refused(rule, word):
    with pytest.raises(ValueError, match=f"it uses {word}; allowed: and, or, <"):
        verdict(claim(rule), RUNS + LOST)


def test_two_seeds_are_no_verdict():
    assert verdict(claim('median("UR") < 1'), RUNS[:2]) == "no run"
    assert verdict(claim('median("UR") < 1'), RUNS[:2] * 2) == "no run"


def test_two_settings_of_three_seeds_are_three_seeds():
    runs = RUNS + runs_of("UR", 0.1, 0.2, 0.6, length=9)
    assert verdict(claim('seeds("UR") == 3'), runs) == "agrees (small)"


def test_only_runs_with_the_claims_parameters_count():
    runs = runs_of("UR", 0.1, 0.1, 0.1) + runs_of("UR", 0.9, 0.9, 0.9, length=9)
    assert verdict(claim('median("UR") == 0.9', where={"length": 9}), runs) == (
        "agrees (small)"
    )


RATES = (
    runs_of("UR", 0.1, 0.2, 0.9, learning_rate=0.1)
    + runs_of("UR", 0.3, 0.4, 0.5, learning_rate=0.2)
    + runs_of("LSTM", 0.0, status="diverged", learning_rate=0.1)
    + runs_of("LSTM", 0.7, 0.8, 0.9, learning_rate=0.2)
)


@pytest.mark.parametrize(
    ("best", "metric", "rule"),
    [
        ("lowest", "loss", 'median("UR") == 0.2 and median("UR", "accuracy") == 0.8'),
        ("highest", "loss", 'median("UR") == 0.4 and high("UR") == 0.5'),
        ("highest", "accuracy", 'median("UR", "loss") == 0.2'),
        ("lowest", "loss", 'median("LSTM") == 0.8 and diverged("LSTM") == 0'),
    ],
)
def test_each_method_counts_at_its_best_rate(best, metric, rule):
    assert verdict(claim(rule, metric, best=best), RATES) == "agrees (small)"


NONE = [
    'median("UR"',
    "open('/etc/passwd')",
    "medium(1)",
    'median("UR")',
    'median("UR") / diverged("UR") < 1',
    'log(diverged("UR")) < 1',
    "min() < 1",
]


@pytest.mark.parametrize("rule", NONE)
def test_an_invalid_rule_is_named_with_its_claim(rule):
    with pytest.raises(ValueError, match="page memory/copy, claim 'c': rule .* cannot"):
        verdict(claim(rule), RUNS)


def test_a_rule_with_an_unknown_metric_names_those_there_are():
    with pytest.raises(ValueError, match="unknown metric 'los'; did you mean 'loss'"):
        verdict(claim('median("UR", "los") < 1'), RUNS)


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book with one file of claims; returns its writer."""
    (tmp_path / "_toc.yml").write_text("root: book/index")
    monkeypatch.setenv("GATEBOOK_ROOT", str(tmp_path))
    file = tmp_path / "book" / "claims" / "memory" / "copy.yaml"
    file.parent.mkdir(parents=True)
    (tmp_path / "book" / "reproduce.yaml").write_text("")

    def write(*entries, runs=(), profile="laptop"):
        file.write_text(yaml.safe_dump(list(entries)))
        folder = tmp_path / "data" / "results" / "memory" / "copy" / profile
        folder.mkdir(parents=True, exist_ok=True)
        for i, each in enumerate(runs):
            (folder / f"{i}.json").write_text(json.dumps(each))

    return write


ENTRY = {
    "claim": "UR solves it",
    "source": "P2 §3.1",
    "paper": "solved",
    "metric": "loss",
    "methods": ["UR", "LSTM"],
    "reproduced": 'median("UR") < 0.3',
}


def test_a_row_shows_both_figures_the_scale_and_the_command(book):
    book(ENTRY, runs=RUNS)
    (row,) = entries("memory/copy")
    assert row.ours == "UR 0.2 [0.1, 0.6]; LSTM 2 [2, 2]"
    assert (row.runs, row.diverged, row.verdict) == (6, 0, "agrees (small)")
    assert row.scale == "laptop, N = 5"
    assert row.command == "gatebook run memory/copy --profile laptop --fresh"


def test_a_row_counts_all_diverged_runs_and_names_the_first_day(book):
    lost = runs_of("UR", 0.0, 0.0, status="diverged") + [run("UR", 0.1, seed=2)]
    lost += runs_of("LSTM", 0.0, status="diverged") + [run("LSTM", 0.1, seed=1)]
    days = ("2026-03-01", "2026-01-02", "2026-02-01", "2026-01-03", "2026-02-02")
    dated = [each | {"date": day} for each, day in zip(lost, days, strict=True)]
    book(ENTRY, runs=dated)
    (row,) = entries("memory/copy")
    assert (row.runs, row.diverged, row.first_day) == (5, 3, "2026-01-02")


@pytest.mark.parametrize(
    "commits, words",
    [
        (["old"] * 2 + ["new"] * 4, "4 of 6 runs; before, it stood on the page"),
        (["new"] * 6, "6 of 6 runs"),
    ],
)
def test_a_row_says_how_many_runs_had_the_rule(book, monkeypatch, commits, words):
    change = Change("abc", "2026-01-01")
    monkeypatch.setattr(ledger, "last_change", lambda claim, profile: change)
    monkeypatch.setattr(ledger, "with_rule", lambda change, own: own.count("new"))
    made = [each | {"commit": c} for each, c in zip(RUNS, commits, strict=True)]
    book(ENTRY, runs=made)
    (row,) = entries("memory/copy")
    assert row.fixed == f"abc, 2026-01-01, in the checkout of {words}"


@pytest.mark.parametrize("source, open_", [("P2 §3.1", True), ("ours", False)])
def test_only_a_papers_claim_waits_for_the_papers_size(book, source, open_):
    book(ENTRY | {"source": source}, runs=RUNS)
    (row,) = entries("memory/copy")
    assert ("would settle it: runs of the paper's size" in row.evidence) == open_


def test_a_scale_is_of_the_runs_that_count(book):
    book(ENTRY | {"where": {"length": 5}}, runs=RUNS + runs_of("UR", 0.1, length=9))
    (row,) = entries("memory/copy")
    assert row.scale == "laptop, N = 5"


def test_a_scale_has_its_steps_with_a_comma(book):
    runs = runs_of("UR", 0.1, 0.2, 0.2, steps=10_000)
    book(ENTRY | {"methods": ["UR"]}, runs=runs)
    (row,) = entries("memory/copy")
    assert row.scale == "laptop, N = 5, 10,000 steps"


def test_a_count_of_steps_has_all_its_digits(book):
    book(ENTRY, runs=[run("UR", 9876.0), run("LSTM", 0.12345)])
    (row,) = entries("memory/copy")
    assert row.ours == "UR 9876 [9876, 9876]; LSTM 0.123 [0.123, 0.123]"


def test_runs_of_the_papers_size_come_first(book):
    book(ENTRY, runs=RUNS)
    runs = runs_of("UR", 0.5, 0.5, 0.5) + runs_of("LSTM", 1.0, 1.0, 1.0)
    book(ENTRY, runs=runs, profile="paper")
    (row,) = entries("memory/copy")
    assert (row.scale, row.verdict) == ("paper, N = 5", "contradicted")
    assert row.command == "gatebook run memory/copy --profile paper --fresh"
    assert row.evidence == "paper, N = 5: contradicted; laptop, N = 5: agrees (small)"


def test_a_claim_without_runs_says_so(book):
    book(ENTRY)
    (row,) = entries("memory/copy")
    assert (row.ours, row.runs, row.scale, row.verdict) == ("–", 0, "–", "no run")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"metrics": "loss"}, "unknown field 'metrics'; did you mean 'metric'"),
        ({"best": "low"}, "unknown best 'low'; did you mean 'lowest'"),
        ({"metric": None}, "needs both a metric and a rule"),
        ({"source": ...}, "a claim lacks source"),
    ],
)
def test_a_claim_that_is_not_whole_is_named_with_its_file(book, change, message):
    entry = {k: v for k, v in (ENTRY | change).items() if v is not ...}
    book(entry)
    with pytest.raises(ValueError, match=message) as error:
        entries("memory/copy")
    assert "copy.yaml" in str(error.value)


def test_the_pages_come_in_the_books_order():
    found = pages()
    places = [page_names().index(page) for page in found]
    assert len(found) > 20 and places == sorted(places)


def test_a_page_without_claims_is_named(book):
    book(ENTRY)
    with pytest.raises(ValueError, match="unknown page 'memory/cpy'; did you mean"):
        entries("memory/cpy")


def test_a_line_has_the_figure_of_each_run_and_the_rules_that_were_tried(book):
    book(ENTRY, runs=RUNS)
    (row,) = entries("memory/copy")
    assert row.ours == "UR 0.2 [0.1, 0.6]; LSTM 2 [2, 2]"
    assert row.values == {"UR": [0.1, 0.2, 0.6], "LSTM": [2, 2, 2]}
    assert row.rules == {"reproduced": 'median("UR") < 0.3'}
    assert row.fixed == ""  # the folder has no history


OWN = {
    "own": {
        "reproduced": 'high("UR") < low("LSTM")',
        "contradicted": 'low("UR") > high("LSTM")',
        "not_waited_for": "the end",
    }
}


@pytest.mark.parametrize(
    "losses, word",
    [
        ((0.1, 0.1, 0.1), "reproduced"),
        ((3, 3, 3), "contradicted"),
        ((3, 1, 1), "undecided"),
    ],
)
def test_runs_that_were_stopped_early_are_judged_by_their_own_rules(book, losses, word):
    book(ENTRY | OWN, runs=RUNS)  # agrees at the smaller size
    runs = runs_of("UR", *losses, length=9) + runs_of("LSTM", 2.0, 2.0, 2.0, length=9)
    book(ENTRY | OWN, runs=runs, profile="own")
    (row,) = entries("memory/copy")
    assert (row.verdict, row.scale) == (word, "own, N = 9")
    assert "laptop, N = 5: agrees (small); not waited for: the end" in row.evidence
    assert ("would settle it" in row.evidence) == (word == "undecided")


def test_runs_of_two_seeds_leave_the_verdict_to_the_smaller_size(book):
    book(ENTRY, runs=RUNS)
    book(ENTRY, runs=runs_of("UR", 9, 9) + runs_of("LSTM", 9, 9), profile="own")
    (row,) = entries("memory/copy")
    assert (row.verdict, row.scale) == ("agrees (small)", "laptop, N = 5")
    assert "; own, N = 5: no run; would settle it" in row.evidence


def test_without_a_rule_of_its_own_a_size_needs_its_seeds_too():
    whole = claim('median("UR") < 1', methods=["UR"], own={"not_waited_for": "all"})
    waiting = of_profile(whole, "own")
    few = runs_of("UR", 9, 9) + runs_of("LSTM", 9, 9, 9)
    assert verdict(waiting, few, "own") == "no run"
    assert verdict(waiting, few + [run("UR", 9, seed=2)], "own") == "undecided"


def test_the_papers_own_size_can_contradict_a_claim():
    rule = 'median("UR") < 0.01'
    assert verdict(claim(rule), RUNS) == "differs (small)"
    assert verdict(claim(rule, papers_size=True), RUNS) == "contradicted"
    assert verdict(claim('median("UR") < 1', papers_size=True), RUNS) == "reproduced"
    assert verdict(claim(rule), RUNS, "own") == "undecided"
    assert verdict(claim(rule), RUNS, "paper") == "contradicted"


def test_rules_of_another_length_do_not_hold_beside_the_own_ones():
    whole = claim('median("UR") < 0.01', partly='median("UR") < 1', own=OWN["own"])
    assert of_profile(whole, "own").partly is None
    assert of_profile(whole, "laptop").partly is not None


def test_an_effect_is_shown_for_each_size(book):
    entry = ENTRY | {"effect": 'median("LSTM") - median("UR")'}
    book(entry, runs=RUNS)
    book(
        entry,
        runs=runs_of("UR", *[2.5] * 3) + runs_of("LSTM", *[2.0] * 3),
        profile="own",
    )
    (row,) = entries("memory/copy")
    assert "own, N = 5: undecided, effect -0.5; " in row.evidence
    assert "laptop, N = 5: agrees (small), effect +1.8" in row.evidence


def test_a_method_whose_runs_all_diverged_leaves_no_effect(book):
    entry = ENTRY | {"effect": 'median("LSTM") - median("UR")'}
    book(entry, runs=RUNS[:3] + runs_of("LSTM", *[1.0] * 3, status="diverged"))
    (row,) = entries("memory/copy")
    assert row.verdict == "agrees (small)" and "effect" not in row.evidence


def test_an_unknown_rule_of_the_own_size_is_named(book):
    book(ENTRY | {"own": {"contradict": "1 > 2"}})
    with pytest.raises(ValueError, match="'contradict'; did you mean 'contradicted'"):
        entries("memory/copy")
