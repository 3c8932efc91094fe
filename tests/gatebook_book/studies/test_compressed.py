"""What compression costs a language model: which weights, which figures."""

import dataclasses
import math

import pytest
import torch
from gatebook.language.corpus import Corpus
from gatebook.language.model import NO_DROPOUT, LanguageModel
from gatebook.language.perplexity import part_perplexity
from gatebook.language.recipe import Recipe
from gatebook.language.train import Progress
from gatebook.training import History
from gatebook_book.studies import compressed
from gatebook_book.studies.texts import TextPoint


def text(tokens=600):
    g = torch.Generator().manual_seed(0)
    draw = lambda n: torch.randint(30, (n,), generator=g)  # noqa: E731
    words = ("<eos>", *(f"w{k}" for k in range(29)))
    return Corpus("text", draw(tokens), draw(300), draw(200), words, "drawn")


def point(gate="LSTM0", **other):
    options = {"gate": gate, "dropouts": NO_DROPOUT, "weight_drop": 0.0}
    sizes = {"width": 16, "hidden_size": 32} | other
    return TextPoint("LSTM0", 0, text(), Recipe(1), **sizes, options=options)


def progress(diverged=None):
    history = History(diverged_at=diverged)
    return Progress(history=history, figures={"trained_test": 7.0})


@pytest.fixture(scope="module")
def measured():
    return compressed.measure(point().build(), point(), progress())


def test_a_rank_keeps_its_share_of_the_units():
    assert [compressed.scaled_rank(r, 1150) for r in (128, 64)] == [128, 64]
    assert compressed.scaled_rank(64, 4) == 1


def test_each_variant_has_a_row_and_metrics(measured):
    names = [row["variant"] for row in measured["rows"]]
    assert names == list(compressed.variants(point().build()))
    for name in names[1:]:
        assert math.isfinite(measured["metrics"][f"rise {name}"])
    assert all(row["reloaded_equal"] for row in measured["rows"])
    assert all(0.1 < row["time"] < 10 for row in measured["rows"])


def test_the_original_is_the_model_itself(measured):
    row = measured["rows"][0]
    exact = part_perplexity(point().build(), point().corpus, "test")
    assert row["perplexity"] == exact.value and row["change"] == row["rise"] == 0
    assert row["fewer"] == row["times"] == 1
    assert measured["metrics"]["perplexity"] == 7.0  # as training has stored it


def test_sizes_and_changes_have_an_order(measured):
    rows = {row["variant"]: row for row in measured["rows"]}
    for more, fewer in (("svd-1/4", "svd-64"), ("8-bit", "4-bit"), ("4-bit", "2-bit")):
        assert rows[more]["bytes"] > rows[fewer]["bytes"]
        assert rows[more]["change"] < rows[fewer]["change"]
    assert rows["svd-64-joint"]["numbers"] < rows["svd-64"]["numbers"]
    assert rows["round"]["file_bytes"] < rows["original"]["file_bytes"]
    # Rank 2 of 32 units: 2 (m + n) numbers in place of m n, block by block.
    shapes = [(32, 16), (32, 32), (32, 32), (32, 32), (16, 32), (16, 16)]
    assert rows["svd-64"]["numbers"] == 2 * sum(2 * (m + n) for m, n in shapes)


def test_the_change_is_the_length_of_the_difference():
    model = point().build()
    rules = compressed.variants(model)["svd-64"]
    small = compressed.compress.apply(model, rules)
    moved = length = 0.0
    for one, two in zip(model.layers, small.model.layers, strict=True):
        for name in ("weight_ih_l0", "weight_hh_l0"):
            # Input and forget gates are the first two blocks.
            own = getattr(one, name)[: 2 * one.hidden_size]
            new = getattr(two, name)[: 2 * one.hidden_size]
            moved += (new - own).square().sum().item()
            length += own.square().sum().item()
    wanted = math.sqrt(moved / length)
    assert compressed.change(model, small) == pytest.approx(wanted, rel=1e-5)


def test_the_loss_is_sharper_along_its_gradient(measured):
    metrics = measured["metrics"]
    assert metrics["sharp 0.1"] > abs(metrics["flat 0.1"])


@pytest.mark.parametrize(("gate", "most"), [("LSTM0", 0.25), ("sharpened", 1.25)])
def test_the_slope_of_gates_at_one_half(gate, most):
    model = point(gate).build()
    with torch.no_grad():
        for layer in model.layers:
            for weight in layer.parameters():
                weight.zero_()
    window = compressed._window(model, point(gate))
    assert compressed.mean_slope(model, window) == pytest.approx(most)


def test_measuring_leaves_the_model_as_it_was():
    model, before = point("G2").build(), point("G2").build().state_dict()
    compressed.measure(model, point("G2"), progress())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in model.parameters())


def test_a_diverged_run_is_not_compressed():
    model = point().build()
    torch.nn.init.constant_(model.layers[0].weight_hh_l0, math.nan)
    found = compressed.measure(model, point(), progress(diverged=3))
    assert found == {"metrics": {"perplexity": 7.0, "trained_test": 7.0}, "rows": []}


def ratio(model, rule, part=""):
    """Numbers before over numbers after, in the places whose name holds ``part``."""
    state = model.state_dict()
    shapes = [p.read(state).shape for p in rule.places(model) if part in p.name]
    after = sum(rule.scheme.numbers(m, n) for m, n in shapes)
    return sum(m * n for m, n in shapes) / after


def test_the_papers_ratios():
    """About 12 times at rank 64 (P1 §4.3): one layer, both weights as one matrix."""
    model = LanguageModel(10, 400, 1150, gate="G2")
    rules = compressed.variants(model)
    (apart,), (joint,) = rules["svd-64"], rules["svd-64-joint"]
    assert ratio(model, apart) == pytest.approx(7.30, abs=0.005)
    assert ratio(model, apart, "layers.1.l0/hh") == pytest.approx(8.98, abs=0.005)
    assert ratio(model, joint, "layers.1.l0") == pytest.approx(11.98, abs=0.005)


def test_variants_fit_a_model_of_one_layer():
    model = LanguageModel(30, 16, 16, 1, seed=0)
    one = dataclasses.replace(point(hidden_size=16), num_layers=1)
    assert compressed.measure(model, one, progress())["rows"]
