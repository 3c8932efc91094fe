"""What is kept of a run on programs, on models whose answers are known."""

import pytest
import torch
from gatebook import DNC, LSTM, RMC
from gatebook.tasks import Programs
from gatebook.training import History, SequenceModel, build
from gatebook_book.studies import programs as looks
from gatebook_book.studies.tasks import forget_gates

TASK = Programs("addition", 2, 2, validation_size=8)


class Oracle(SequenceModel):
    """Adds, then writes the first digits right and 0 from a place on."""

    def __init__(self, task, right):
        super().__init__(LSTM(task.input_size, 1), 10, task.steps_read, padded=True)
        self.task, self.right = task, right

    def forward(self, x):
        alphabet = self.task.characters + " "
        texts = [
            "".join(alphabet[int(k)] for k in self._codes(x[:, b])).strip()
            for b in range(x.shape[1])
        ]
        answers = [str(eval(text) % 1000) for text in texts]  # sums only
        written = [a[: self.right] + "0" * (len(a) - self.right) for a in answers]
        target = self.task.encode_answers(written).clamp(min=0)
        return 9.0 * torch.nn.functional.one_hot(target, 10)

    def _codes(self, x):
        silent = x.sum(-1) == 0
        return torch.where(silent, x.shape[-1], x.argmax(-1))


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(looks, "LOOKED_AT", 60)


def test_answers_are_those_of_the_model_for_programs_of_all_levels_and_the_hardest():
    found = looks.answers(Oracle(TASK, 9), TASK)
    assert len(found) == 2 * looks.SHOWN
    assert all(entry["written"] == entry["answer"] for entry in found)
    hardest = [p.text for p in TASK.drawn("none", looks.SHOWN)]
    assert [entry["program"] for entry in found[looks.SHOWN :]] == hardest


def test_levels_count_every_program_once():
    found = looks.levels(Oracle(TASK, 1), TASK)
    assert sum(entry["programs"] for entry in found) == 60
    assert [(e["length"], e["nesting"]) for e in found] == [
        (1, 1),
        (1, 2),
        (2, 1),
        (2, 2),
    ]
    assert found[-1]["accuracy"] < 0.7 and found[-1]["exact"] < 0.2
    assert all(e["exact"] == 1 for e in looks.levels(Oracle(TASK, 9), TASK))


def test_digits_are_counted_by_place_and_carry():
    found = looks.places(Oracle(TASK, 1), TASK)
    programs = TASK.drawn("none", 60)
    assert sum(e["count"] for e in found) == sum(len(p.answer) for p in programs)
    first = [e for e in found if e["place"] == e["digits"] - 1]
    assert all(e["right"] == e["count"] for e in first)
    assert all(e["carry"] == 0 for e in found if e["place"] == 0)
    assert {e["carry"] for e in found if e["place"] == 1} == {0, 1, 2}


@pytest.mark.parametrize(("place", "carry"), [(0, 0), (1, 2), (2, 1), (3, 0)])
def test_the_carry_is_that_of_written_addition(place, carry):
    assert looks.carry_into("(95+8)+7", place) == carry  # 95 + 8 + 7 = 110


def test_the_loss_of_a_position_without_a_character_is_none():
    task = Programs("addition", 1, 1)
    model = build(task, LSTM, 4, 0)
    found = looks.losses_by_position(model, task)
    assert len(found) == 2 and all(value > 1 for value in found)


CORES = [
    (LSTM, {}, 8),
    (RMC, {"slots": 2, "heads": 2}, 16),
    (DNC, {"rows": 4, "width": 4}, 8),
]


@pytest.mark.parametrize(("core", "options", "units"), CORES)
def test_the_gates_of_every_core_can_be_looked_at(core, options, units):
    model = build(TASK, core, 8, 0, gate="LSTM", **options)
    x, _ = TASK.encode(TASK.drawn("none", 3))
    assert looks.forget_gates_of(model, x).shape == (*x.shape[:2], units)
    assert all(0 <= f <= 1 for f in forget_gates(model, TASK))
    trace = looks.traces(model, TASK)
    steps = len(trace["program"]) + TASK.steps_read
    assert {len(row) for row in trace["keeping"].values()} == {steps}
    kept = looks.kept_by_brackets(model, TASK)
    assert len(kept["inside"]) == len(kept["after"]) == units


def test_what_a_unit_keeps_is_the_product_of_its_gates():
    # Forget gates of 1/2 everywhere: no weights, and no bias.
    model = build(TASK, LSTM, 4, 0, gate="LSTM")
    with torch.no_grad():
        for p in model.rnn.parameters():
            p.zero_()
    kept = looks.kept_by_brackets(model, TASK)
    # (ab+cd)+ef: six characters from the bracket to its end, three after it
    assert kept["inside"] == pytest.approx([0.5**6] * 4, abs=1e-3)
    assert kept["after"] == pytest.approx([0.5**3] * 4, abs=1e-3)


def test_without_nesting_nothing_is_bracketed():
    task = Programs("addition", 2, 1)
    kept = looks.kept_by_brackets(build(task, LSTM, 4, 0), task)
    assert kept == {"inside": [], "after": []}
    assert looks.traces(build(task, LSTM, 4, 0), task)["keeping"]


def test_a_final_accuracy_is_the_mean_of_the_last_five_evaluations():
    values = [0.9, 0.1, 0.2, 0.3, 0.4, 0.5]
    names = ("loss", "accuracy", "exact", "hardest_accuracy", "hardest_exact")
    curves = {"step": [*range(6)]} | dict.fromkeys(names, values)
    found = looks.program_scores(Oracle(TASK, 1), TASK, History(curves))
    assert found["final_accuracy"] == pytest.approx(0.3)
    assert found["mean_loss"] == pytest.approx(0.4)
    assert found["loss"] == found["hardest_exact"] == 0.5
