"""Program execution: the languages, the encoding, the answers, the baseline."""

import io
import re
from collections import Counter
from contextlib import redirect_stdout

import pytest
import torch
from gatebook import LSTM
from gatebook.tasks import Programs
from gatebook.tasks.programs import Program, constant_guess
from gatebook.training import Job, Plan, build, fit, fit_together

from .parser import evaluate

KINDS = ("addition", "control", "program")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("length", "nesting"), [(1, 1), (3, 2), (9, 4), (2, 7)])
def test_every_answer_is_the_value_modulo_one_digit_more(kind, length, nesting):
    task = Programs(kind, length, nesting, curriculum="none")
    for program in task.programs(0, 150):
        value = evaluate(program.text) % 10 ** (length + 1)
        assert program.answer == str(value), program


def test_an_evaluator_refuses_what_is_not_the_language():
    assert evaluate("x=(224if922>502else751)for[9]x+=378") == 3626
    for text in ("3+", "(3+4", "x=3for[10]x+=4", "3if4=5else6", "3+4+5"):
        with pytest.raises(AssertionError):
            evaluate(text)


@pytest.mark.parametrize("nesting", [1, 4, 10])
def test_python_runs_zarembas_programs_to_the_same_answer(nesting):
    task = Programs("program", 4, nesting, dialect="zaremba")
    for program in task.programs(0, 100):
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(program.text, {})
        assert program.answer == printed.getvalue().strip() + "."
        assert len(program.answer) <= task.steps_read
        assert set(program.text) <= set(task.characters)


def test_zarembas_six_operations_all_occur():
    text = "\n".join(
        p.text for p in Programs("program", dialect="zaremba").programs(0, 300)
    )
    for pattern in (
        r"\(\d+\+",
        r"\(\d+-",
        r"\*",
        ";",
        r"range\(\d+\):\w-=",
        "if .* else",
    ):
        assert re.search(pattern, text), pattern


@pytest.mark.parametrize(
    ("kind", "size"), [("addition", 13), ("control", 26), ("program", 28)]
)
def test_the_input_has_the_characters_that_occur_and_no_others(kind, size):
    task = Programs(kind, 9, 4)
    seen = set("".join(p.text for p in task.programs(0, 300)))
    assert seen == set(task.characters) and task.input_size == size


def test_all_literals_of_a_program_have_its_length_and_levels_are_even():
    programs = Programs("addition", 4, 3).programs(0, 1200)
    for program in programs:
        literals = re.findall(r"\d+", program.text)
        assert len(literals) == program.nesting + 1
        assert {len(n) for n in literals} == {program.length}
    levels = Counter((p.length, p.nesting) for p in programs)
    assert len(levels) == 12
    assert all(abs(count - 100) < 45 for count in levels.values())  # 4.7 σ


def test_an_input_is_the_program_then_silence_for_the_answer():
    task = Programs("addition", 2, 2)
    programs = [Program("12+3", "15", 1, 2), Program("(1+2)+3", "6", 2, 1)]
    x, target = task.encode(programs)
    assert x.shape == (7 + 3, 2, 13) and task.steps_read == 3
    written = [
        "".join(task.characters[k] for k in row.argmax(-1)) for row in x.unbind(1)
    ]
    assert written[0].startswith("12+3") and written[1].startswith("(1+2)+3")
    assert x.sum(-1).T.tolist() == [[1.0] * 4 + [0.0] * 6, [1.0] * 7 + [0.0] * 3]
    assert target.T.tolist() == [[1, 5, -100], [6, -100, -100]]


def test_what_is_decoded_is_what_was_encoded():
    task = Programs("program", 3, 2, dialect="zaremba")
    answers = ["-12.", "7.", "1234."]
    target = task.encode_answers(answers)
    sure = torch.nn.functional.one_hot(target.clamp(min=0), task.output_size)
    assert task.decode(sure.float(), target) == answers


# -- what padding reaches --------------------------------------------------


def model_and_batch(gate="UR"):
    task = Programs("control", 2, 2, batch_size=9)
    return task, build(task, LSTM, 6, 0, gate=gate, head_size=5), task.batch(0)


def test_a_program_alone_gives_the_numbers_that_it_gives_in_a_batch():
    task, model, (x, target) = model_and_batch()
    together = model(x)
    for b, program in enumerate(task.programs(0)):
        alone, _ = task.encode([program])
        assert len(alone) == len(program.text) + task.steps_read
        torch.testing.assert_close(model(alone)[:, 0], together[:, b])


def test_padding_reaches_neither_loss_nor_gradient_nor_gates():
    task, model, (x, target) = model_and_batch()
    more = torch.cat([x, torch.zeros(11, *x.shape[1:])])
    found = []
    for batch in (x, more):
        model.zero_grad()
        loss = task.loss(model(batch), target)
        loss.backward()
        found.append([loss.detach(), *(p.grad.clone() for p in model.parameters())])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)
    real = model.real_steps(more)
    lengths = [len(p.text) + task.steps_read for p in task.programs(0)]
    assert real.sum(0).tolist() == lengths
    assert real[: lengths[0], 0].all()  # the first ones


def test_a_batch_without_room_for_the_answer_is_refused():
    task, model, (x, _) = model_and_batch()
    with pytest.raises(ValueError, match="at least 3 zero vectors after each input"):
        model(x[:-1])


def test_a_model_without_padding_reads_its_last_steps():
    from gatebook.tasks import Copy

    model = build(Copy(3), LSTM, 4, 0)
    x, _ = Copy(3).batch(0)
    assert not model.padded and model.real_steps(x).all()
    torch.testing.assert_close(model(x), model.head(model.rnn(x)[0][-10:]))


# -- losses and scores -----------------------------------------------------


def sure_of(task, answers, written):
    target = task.encode_answers(answers)
    codes = task.encode_answers(written).clamp(min=0)
    return torch.nn.functional.one_hot(codes, task.output_size) * 50.0, target


def test_scores_by_hand():
    task = Programs("addition", 3, 2)
    prediction, target = sure_of(task, ["123", "45", "6"], ["123", "46", "7"])
    scores = task.scores(prediction, target)
    assert scores["accuracy"] == pytest.approx(4 / 6)
    assert scores["exact"] == pytest.approx(1 / 3)
    assert scores["loss"] == pytest.approx(2 * 50 / 6)
    by_position = task.loss_by_position(prediction, target)
    assert by_position[:3] == pytest.approx([50 / 3, 50 / 2, 0.0])
    assert by_position[3] != by_position[3]  # no answer has a fourth digit


def test_the_best_constant_guess_by_hand():
    target = torch.tensor([[1, 1, 2, 1], [7, -100, -100, 8]])
    loss, accuracy = constant_guess(target)
    entropies = 4 * (0.75 * torch.tensor(4 / 3).log() + 0.25 * torch.tensor(4.0).log())
    assert loss == pytest.approx(((entropies + 2 * torch.tensor(2.0).log()) / 6).item())
    assert accuracy == pytest.approx(4 / 6)


def test_no_constant_model_is_below_the_best_constant_guess():
    task = Programs("addition", 2, 2)
    target = task.encode_answers([p.answer for p in task.drawn("mix", 500)])
    logits = torch.zeros(3, 1, 10, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.2)
    for _ in range(100):
        optimizer.zero_grad()
        loss = task.loss(logits.expand(-1, 500, -1), target)
        loss.backward()
        optimizer.step()
    best, accuracy = constant_guess(target)
    assert best < loss.item() < best + 0.02
    found = task.scores(logits.detach().expand(-1, 500, -1), target)["accuracy"]
    assert found == pytest.approx(accuracy, abs=1e-6)


def test_the_baseline_is_that_of_the_kind(monkeypatch):
    monkeypatch.setattr("gatebook.tasks.programs.task.SAMPLE", 1000)
    task = Programs("addition", 2, 2, seed=11)
    assert task.baseline_accuracy() == pytest.approx(0.309, abs=0.04)
    assert task.baseline_accuracy("mix") > task.baseline_accuracy()
    assert 1.7 < task.baseline() < 2.0


def test_an_lstm_learns_to_add_two_digits():
    task = Programs("addition", 1, 1, batch_size=32, validation_size=64)
    model = build(task, LSTM, 24, 0, gate="UR")
    history = fit(model, task, Plan(120, 3e-2, evaluate_every=120))
    assert history.last("loss") < 0.7 < 1.7 < history.curves["loss"][0]
    assert min(history.last("hardest_accuracy"), history.last("accuracy")) > 0.6


def test_models_that_are_trained_together_learn_as_each_would_alone():
    task, plan = Programs("addition", 1, 2, batch_size=8, validation_size=8), Plan(3)
    jobs = [Job(build(task, LSTM, 4, seed), task, plan) for seed in (0, 1)]
    for seed, history in enumerate(fit_together(jobs)):
        alone = fit(build(task, LSTM, 4, seed), task, plan)
        for name in ("loss", "hardest_loss"):
            assert history.curves[name] == pytest.approx(alone.curves[name], rel=1e-5)


# -- draws -----------------------------------------------------------------


def test_a_batch_is_decided_by_seed_and_step_alone():
    task = Programs("control")
    assert all(map(torch.equal, task.batch(1), Programs("control").batch(1)))
    assert task.programs(1) != task.programs(2)
    assert task.programs(1) != Programs("control", seed=1).programs(1)
    assert task.drawn("mix", 64) != task.programs(0)
    assert Programs("control", seed=7).programs(3, 2)[1].text == "656if469>736else223"


LEVELS = [
    ("sonnet", [(1, 1), (2, 1), (3, 1), (3, 2), (3, 2)]),
    ("zaremba", [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2)]),
]


@pytest.mark.parametrize(("dialect", "levels"), LEVELS)
def test_naive_goes_up_one_level_at_a_time(dialect, levels):
    options = {"curriculum": "naive", "advance_every": 10, "dialect": dialect}
    task = Programs("program", 3, 2, **options)
    found = [task._curriculum("naive").level(step) for step in (9, 19, 29, 39, 49)]
    assert found == levels
    assert task._curriculum("naive").level(10**6) == (3, 2)


def test_combined_draws_up_to_the_level_of_the_step():
    task = Programs("addition", 3, 2, curriculum="combined", advance_every=10)
    assert {(p.length, p.nesting) for p in task.programs(12, 200)} == {(1, 1), (2, 1)}
    assert len({(p.length, p.nesting) for p in task.programs(99, 400)}) == 6


def test_without_a_curriculum_every_program_is_of_the_hardest_level():
    task = Programs("addition", 3, 2, curriculum="none")
    assert {(p.length, p.nesting) for p in task.programs(0)} == {(3, 2)}
    assert len({(p.length, p.nesting) for p in task.drawn("mix", 200)}) == 6


# -- bad input -------------------------------------------------------------

BAD = [
    ({"kind": "subtraction"}, "unknown kind 'subtraction'"),
    ({"kind": "addition", "dialect": "zaremba"}, "unknown kind 'addition'"),
    ({"dialect": "deepmind"}, "unknown dialect 'deepmind'"),
    ({"length": 0}, "length is 0; allowed: an integer >= 1"),
    ({"nesting": 0}, "nesting is 0; allowed: an integer >= 1"),
    (
        {"nesting": 11, "kind": "program", "dialect": "zaremba"},
        "nesting is 11; allowed: at most 10",
    ),
    ({"batch_size": 0}, "batch_size is 0"),
    ({"validation_size": True}, "validation_size is True"),
    ({"curriculum": "mixed"}, "unknown curriculum 'mixed'; did you mean 'mix'?"),
    ({"curriculum": "naive"}, "advance_every is None; allowed: an integer >= 1"),
    ({"advance_every": 5}, "advance_every is 5; allowed: None"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_a_value_that_makes_no_task_is_refused_at_once(options, message):
    with pytest.raises(ValueError) as error:
        Programs(**options)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("text", ["12-3", "1 + 2", "ñ", "a", "1\0"])
def test_a_program_outside_the_language_is_refused(text):
    task = Programs("addition")
    with pytest.raises(ValueError, match="program .* has .*; allowed: the characters"):
        task.encode_texts(["1+2", text])


def test_an_answer_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="answer '12345' is too long; allowed: 4"):
        Programs("addition").encode_answers(["1", "12345"])
    with pytest.raises(ValueError, match="texts is empty"):
        Programs("addition").encode_texts([])


def test_none_are_none():
    assert Programs().programs(0, 0) == []
    with pytest.raises(ValueError, match="count is -1; allowed: an integer >= 0"):
        Programs().programs(0, -1)
