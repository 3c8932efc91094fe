"""The linear-recurrent experiments: methods, sizes, rates, figures."""

import pytest
import torch
from gatebook.tasks import Adding, Copy, Recall
from gatebook.training import History, Plan, fit
from gatebook_book.runs.claims import claims
from gatebook_book.studies import modern

PLAN = Plan(2, evaluate_every=1)
FRAMED = [name for name in modern.METHODS if "wide" not in name]


@pytest.mark.parametrize("name", FRAMED)
def test_every_method_is_built_in_blocks_of_one_size(name):
    point = modern.framed(name, 0, Copy(2), PLAN, 32)
    model = point.build()
    made = len(model.rnn.blocks)
    assert made == (1 if "1-block" in name else 2)
    size = sum(p.numel() for p in model.rnn.blocks.parameters()) / made
    assert size == pytest.approx(11.4 * 32**2, rel=0.05)
    if name != "LSTM":
        bare = modern.bare(name, 0, Adding(4), PLAN, 8) if "HGRN" not in name else None
        assert bare is None or bare.build()


def test_the_wide_control_has_the_weights_of_a_refine_gate():
    def weights(name):
        cell = modern.bare(name, 0, Adding(4), PLAN, 64).build().rnn
        return sum(p.numel() for p in cell.parameters() if p.dim() == 2)

    refined, wide = weights("minGRU-U+refine"), weights("minGRU-U-wide")
    assert refined == wide == 1.5 * weights("minGRU-U")


def test_methods_differ_where_their_names_say_so():
    def periods(name):
        torch.manual_seed(0)
        return modern.bare(name, 0, Adding(4), PLAN, 400).build().rnn.timescales()

    assert periods("minGRU-zero").unique().numel() == 1
    assert periods("minGRU-log").median().item() == pytest.approx(28, rel=0.3)
    assert periods("minGRU-U").median().item() == pytest.approx(1.44, rel=0.2)
    assert periods("minGRU-C").max().item() < 200
    assert periods("Mamba-lost").max() < 1 < periods("Mamba").min()


def test_blocks_of_one_model_draw_noise_of_their_own():
    point = modern.framed("minGRU-log+noise", 0, Copy(2), PLAN, 16)
    cells = [block.cell for block in point.build().rnn.blocks]
    assert cells[0].streams.seed != cells[1].streams.seed
    again = [block.cell for block in point.build().rnn.blocks]
    assert [c.streams.seed for c in cells] == [c.streams.seed for c in again]


def test_bounded_blocks_share_their_bounds():
    first, second = (
        block.cell
        for block in modern.framed("HGRN-bound", 0, Copy(2), PLAN, 16)
        .build()
        .rnn.blocks
    )
    assert first.bounds is second.bounds
    assert second.timescales().min() > first.timescales().max()


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="unknown method 'minGRU-u'; did you mean"):
        modern.bare("minGRU-u", 0, Adding(4), PLAN, 8)


def test_the_figures_are_means_of_the_last_five_evaluations():
    history = History({"step": list(range(8)), "loss": [9.0, 9, 9, 1, 2, 3, 4, 5]})
    assert modern.late_scores(torch.nn.Identity(), Adding(4), history) == {"loss": 3.0}


def test_the_share_of_binary_gates_is_that_of_the_start():
    task = Adding(5, batch_size=2, validation_size=4)
    model = modern.bare("minGRU-zero", 0, task, PLAN, 8).build()
    with torch.no_grad():
        model.rnn.gate_weight.zero_()
        model.rnn.gate_bias[:2] = torch.tensor([5.0, -5.0])
    history = fit(model, task, Plan(1, learning_rate=1e-9, evaluate_every=1))
    found = modern.late_scores_and_gates(model, task, history)
    assert found["binary"] == pytest.approx(2 / 8)


def test_every_rate_is_run_and_the_best_one_counts():
    def make(method, seed, rate):
        return modern.bare(method, seed, Adding(4), Plan(2, rate), 8)

    made = modern.with_rates(make, ["minGRU-U", "GLA"], [0.1, 0.2], [0, 1])
    chosen = {(p.name, p.seed, p.plan.learning_rate) for p in made}
    assert len(chosen) == len(made) == 8
    runs = [
        {
            "name": "a",
            "seed": seed,
            "status": "finished",
            "metrics": {"loss": rate},
            "parameters": {"learning_rate": rate},
        }
        for seed in (0, 1)
        for rate in (0.1, 0.2)
    ]
    best = modern.at_best_rates(runs, "loss", "lowest")
    assert best == {"a": [runs[0], runs[2]]}


def test_every_method_of_a_rule_is_one_that_the_page_can_run():
    for claim in claims("modern/experiments"):
        assert set(claim.methods) <= modern.METHODS.keys(), claim.claim
        for method in claim.methods:
            assert f'"{method}"' in f"{claim.reproduced}{claim.partly}"


def test_a_model_with_a_convolution_recalls_in_one_pass():
    task = Recall(pairs=2, length=8, batch_size=3, validation_size=4)
    point = modern.framed("GLA", 0, task, PLAN, 16, convolution=True)
    assert fit(point.build(), task, PLAN).status == "finished"
