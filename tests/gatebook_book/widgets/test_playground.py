"""What the playground trains in a browser is what the library trains."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gatebook import record
from gatebook.gates import GATES
from gatebook.recurrence.scan import Draws, Weights, layer
from gatebook.rnn import LSTM
from gatebook.tasks import Adding, Copy
from gatebook.training import SequenceModel
from gatebook_book.widgets.base import FOLDER
from gatebook_book.widgets.playground import NAMES, Playground, stored_race
from gatebook_book.widgets.webassembly import bundle
from torch import Tensor

UNITS, DELAY = 20, 6
CHOICES = [
    dict(task=task, delay=delay, gate=gate, p=p, units=UNITS, rate=0.01, seed=3)
    for gate in NAMES
    for task, delay, p in (("copy", DELAY, 0), ("adding", 30, 0.5))
]
SCRIPT = """
import { readFileSync } from "node:fs";
import { Trainer, gumbel, unpack } from %s;
const { bundle: { kernels: packed, ...spec }, choices } =
  JSON.parse(readFileSync(0, "utf8"));
const kernels = {};
for (const name in packed) kernels[name] = await unpack(packed[name]);
const list = (made) => made && Array.from(made);
const lists = (made) => Object.fromEntries(
  Object.entries(made).map(([name, values]) => [name, list(values)]));

const told = choices.map((choice) => {
  const trainer = new Trainer(kernels, spec, choice);
  const [{ T, H }, law] = [trainer.size, trainer.gate.noise];
  const batch = trainer.task.make(trainer.draw.train, choice.delay, 32);
  const noise = law && gumbel(law, T * 32 * law.blocks * H, trainer.draw.noise);
  const detached = choice.p
    ? Uint8Array.from({ length: T }, () => trainer.draw.detach() < choice.p) : null;
  const before = lists(trainer.weights);
  const { loss, grads } = trainer.gradients(batch, { noise, detached });
  const kept = lists(grads);
  trainer.adam.step(grads);
  const seen = trainer.look();
  return {
    loss, before, grads: kept, after: lists(trainer.weights),
    noise: list(noise), detached: list(detached),
    batch: lists(batch), probe: lists(trainer.probe), seen_loss: seen.loss,
    seen: lists({ answers: seen.answers, gates: seen.gates, means: seen.means }),
  };
});
console.log(JSON.stringify(told));
"""
STARTS = """
import { readFileSync } from "node:fs";
import { Trainer, unpack } from %s;
const { bundle: { kernels: packed, ...spec }, choices } =
  JSON.parse(readFileSync(0, "utf8"));
const kernels = {};
for (const name in packed) kernels[name] = await unpack(packed[name]);
console.log(JSON.stringify(choices.map((choice) => {
  const trainer = new Trainer(kernels, spec, choice);
  const means = Array.from(trainer.look().means);
  return { means, losses: Array.from({ length: 20 }, () => trainer.step()) };
})));
"""
SIDES = ("left", "right")
ORDER = ("ih", "hh", "bias_ih", "bias_hh", "head", "head_bias")


@pytest.fixture(scope="module")
def told(tmp_path_factory: Any, run_node: Callable[[Path, Any], Any]) -> list[Any]:
    """One step of training of each choice, as node makes it."""
    script = tmp_path_factory.mktemp("node") / "step.mjs"
    script.write_text(SCRIPT % json.dumps((FOLDER / "engine.mjs").as_uri()))
    return run_node(script, {"bundle": bundle(NAMES), "choices": CHOICES})


each = pytest.mark.parametrize(
    "k", range(len(CHOICES)), ids=[f"{c['gate']}-{c['task']}" for c in CHOICES]
)


def task_of(choice: dict[str, Any]) -> Copy | Adding:
    return {"copy": Copy, "adding": Adding}[choice["task"]](choice["delay"])


def model_of(choice: dict[str, Any], weights: dict[str, list[float]]) -> SequenceModel:
    """The library's model with these weights."""
    task = task_of(choice)
    rnn = LSTM(task.input_size, UNITS, gate=choice["gate"], h_detach=choice["p"])
    model = SequenceModel(rnn, task.output_size, task.steps_read)
    with torch.no_grad():
        for name, own in zip(ORDER, model.parameters(), strict=True):
            own.copy_(torch.tensor(weights[name]).view_as(own))
    return model


def batch_of(choice: dict[str, Any], batch: dict[str, list[float]], size: int):
    """Input (T, B, I) and target (S, B)."""
    task = task_of(choice)
    target = torch.tensor(batch["target"]).view(-1, size)
    x = torch.tensor(batch["x"], dtype=torch.float32).view(-1, size, task.input_size)
    return x, target.long() if choice["task"] == "copy" else target


def draws_of(told: dict[str, Any], steps: int) -> Draws:
    noise, detached = told["noise"], told["detached"]
    return Draws(
        None if noise is None else torch.tensor(noise).view(steps, 32, -1),
        None if detached is None else torch.tensor(detached, dtype=torch.bool),
    )


def near(found: list[float], wanted: Tensor) -> None:
    """Equal to a hundred-thousandth of the largest of them."""
    off = (torch.tensor(found) - wanted.detach().flatten()).abs().max()
    assert off <= 1e-5 * wanted.abs().max(), off / wanted.abs().max()


@each
def test_loss_gradients_and_a_step_of_adam_are_the_librarys(told, k):
    choice, own = CHOICES[k], told[k]
    model = model_of(choice, own["before"])
    x, target = batch_of(choice, own["batch"], 32)
    weights = Weights(*model.rnn.all_weights[0])
    zero = torch.zeros(32, UNITS)
    draws = draws_of(own, len(x))
    hidden = layer(model.rnn.core, x, weights, zero, zero, draws=draws)[0]
    loss = task_of(choice).loss(model.read(hidden, x), target)
    loss.backward()
    assert own["loss"] == pytest.approx(loss.item(), rel=1e-5)
    for name, weight in zip(ORDER, model.parameters(), strict=True):
        near(own["grads"][name], weight.grad)

    optimiser = torch.optim.Adam(model.parameters(), lr=choice["rate"])
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    for name, weight in zip(ORDER, model.parameters(), strict=True):
        # A first step of Adam is the gradient's sign, where that is not 0.
        sure = weight.grad.abs().flatten() > 1e-5
        found = torch.tensor(own["after"][name])
        wanted = weight.detach().flatten()
        torch.testing.assert_close(found[sure], wanted[sure], rtol=1e-4, atol=1e-5)


@each
def test_what_is_shown_is_the_model_in_evaluation(told, k):
    choice, own = CHOICES[k], told[k]
    model = model_of(choice, own["after"]).eval()
    x, target = batch_of(choice, own["probe"], 16)
    with torch.no_grad(), record(model.rnn) as gates:
        predicted = model(x)
    scores = task_of(choice).scores(predicted, target)
    assert own["seen_loss"] == pytest.approx(scores["loss"], rel=1e-5)
    forget = gates["l0"]["effective_forget"]
    near(own["seen"]["gates"], forget[:, 0])
    # Means while there is nothing to do but wait: in copying, over the blanks.
    waits = slice(10, 10 + DELAY) if choice["task"] == "copy" else slice(None)
    near(own["seen"]["means"], forget[waits].mean((0, 1)))
    answers = predicted.argmax(-1) if choice["task"] == "copy" else predicted
    near(own["seen"]["answers"], answers.float())


@each
def test_a_batch_is_one_of_the_task(told, k):
    choice, own = CHOICES[k], told[k]
    x, target = batch_of(choice, own["batch"], 32)
    if choice["task"] == "copy":
        assert set(target.unique().tolist()) == set(range(1, 9))
        wanted, _ = task_of(choice)._make(target)
        torch.testing.assert_close(x, wanted)
        return
    numbers, marks = x.unbind(-1)
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert 0.45 < numbers.mean() < 0.55
    first, second = marks.split(len(x) // 2)
    assert (first.sum(0) == 1).all() and (second.sum(0) == 1).all()
    torch.testing.assert_close((numbers * marks).sum(0)[None], target)


@each
def test_the_start_has_the_librarys_law(told, k):
    choice, own = CHOICES[k], told[k]
    core = LSTM(1, UNITS, gate=choice["gate"]).core
    rows = torch.tensor(own["before"]["bias_ih"]).view(-1, UNITS)
    biases = dict(zip(core.blocks(), rows, strict=True))
    law = GATES[choice["gate"]].initial_biases(UNITS)
    if choice["gate"] not in ("U", "UR"):
        for name, bias in biases.items():
            assert (bias == law.get(name, torch.zeros(1))).all()
        return
    start = biases["forget"].sigmoid()
    assert 1 / UNITS <= start.min() < 0.2 and 0.8 < start.max() <= 1 - 1 / UNITS
    other = "refine" if choice["gate"] == "UR" else "input"
    torch.testing.assert_close(biases[other], -biases["forget"])
    bound = UNITS**-0.5
    drawn = torch.tensor(own["before"]["hh"])
    assert drawn.abs().max() <= bound and drawn.std() > 0.5 * bound


def starts(folder: Path, run_node: Any, choices: list[dict[str, Any]]) -> list[Any]:
    script = folder / "starts.mjs"
    script.write_text(STARTS % json.dumps((FOLDER / "engine.mjs").as_uri()))
    return run_node(script, {"bundle": bundle(NAMES), "choices": choices})


def test_a_seed_decides_the_run(tmp_path, run_node):
    noisy = next(c for c in CHOICES if c["gate"] == "G2" and c["p"])
    choices = [noisy, noisy, noisy | {"seed": 4}]
    first, again, other = starts(tmp_path, run_node, choices)
    assert first == again
    assert first["losses"] != other["losses"] and first["means"] != other["means"]


def test_the_stored_race_is_of_the_default_choice_and_of_this_code(tmp_path, run_node):
    race, shown = stored_race(), Playground()
    assert race["choice"] == {name: getattr(shown, name) for name in race["choice"]}
    choice = race["choice"]
    sides = [choice | {"gate": choice[k], "p": choice[f"{k}_p"]} for k in SIDES]
    anew = starts(tmp_path, run_node, sides)
    for side, begun in zip(race["sides"], anew, strict=True):
        assert side["start"] == pytest.approx(begun["means"], rel=1e-4)
        mean = sum(begun["losses"]) / 20
        assert side["points"][0] == [20, pytest.approx(mean, rel=1e-4)]


def test_what_is_not_allowed_is_refused_also_later():
    for name, value in (
        ("left", "GRU"),
        ("units", 48),
        ("rate", 0.5),
        ("task", "sort"),
    ):
        with pytest.raises(ValueError, match=rf"^{name} is .*; allowed: "):
            Playground(**{name: value})
    shown = Playground(delay=30)
    with pytest.raises(ValueError, match=r"^delay is 4; allowed: "):
        shown.delay = 4
    assert shown.delay == 30
    assert repr(shown) == ("Playground(task='copy', delay=30, left='LSTM', right='UR')")


def test_the_state_in_a_page_is_small():
    assert len(json.dumps(Playground().get_state())) < 200_000


def test_shares_of_timescales(in_node):
    means = [0.0, 0.5, 0.9, 0.99, 0.9999, 1.0]
    (heights,) = in_node("units+playground", "shares", [(means,)])
    assert sum(heights) == pytest.approx(1) and heights[-1] == pytest.approx(2 / 6)
    assert in_node("units+playground", "timescaleOf", [(0.9,)]) == pytest.approx([10])


def test_a_point_of_a_curve_is_the_mean_of_twenty_losses(in_node):
    losses = [float(k) for k in range(45)]
    (found,) = in_node("units+playground", "binned", [(losses, 145)])
    assert found == [[[120, 9.5], [140, 29.5]], losses[40:]]
