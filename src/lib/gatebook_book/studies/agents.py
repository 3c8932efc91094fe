"""Agents of a page: trained from reward or from labels, looked at, and stored."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gatebook.agents import A2C, Answerer, Network, act, build, fit
from gatebook.match import Episodes, Labelled, Match
from gatebook.modes import evaluating
from gatebook.random import generator
from gatebook.rnn.record import record
from gatebook.training import History
from torch import nn

from gatebook_book.runs.progress import show_progress
from gatebook_book.runs.store import Run, Store
from gatebook_book.studies.tasks import Point, plain

LAST = 0.1
"""The share of a run's end that its final figures are means over."""
LOOKED_AT = 64
"""Episodes that the gates are looked at in."""


@dataclass(frozen=True)
class Trial:
    """One agent to train.

    Arguments:
        name: the gate, as figures and tables call it.
        seed: decides weights, episodes and actions.
        match: the setting.
        recipe: how to learn.
        hidden_size: H.
        core: a name in `gatebook.agents.network.CORES`.
        options: of the core: ``gate``, …
        after: a training that the same weights have first, of an easier setting.
    """

    name: str
    seed: int
    match: Match
    recipe: A2C
    hidden_size: int = 64
    core: str = "LSTM"
    options: Mapping[str, Any] = field(default_factory=dict)
    after: "Trial | None" = None

    def parameters(self) -> dict[str, Any]:
        """All that decides the run's numbers; a stored run is found by it."""
        options = {k: plain(v) for k, v in self.options.items()}
        model = {"core": self.core, "hidden_size": self.hidden_size}
        own = {**self.match.describe(), **model, **options, **asdict(self.recipe)}
        if self.after is None:
            return own
        first = self.after.parameters()
        said = {k: v for k, v in first.items() if k == "updates" or v != own.get(k)}
        return own | {f"after.{k}": v for k, v in said.items()}

    def build(self) -> Network:
        """The network, untrained."""
        return build(self.core, self.hidden_size, self.seed, **self.options)


def train_agents(store: Store, trials: Sequence[Trial]) -> list[Run]:
    """Train every agent that has no stored run yet.

    Returns:
        the stored runs, each with its curves, the figures of `final`, and as ``gates``
        what `forget_along` shows, where the core is an LSTM or a GRU.

    Example:
        >>> import pathlib, tempfile
        >>> trial = Trial("UR", 0, Match(delay=1), A2C(2), 8, options={"gate": "UR"})
        >>> store = Store("memory/agents", folder=pathlib.Path(tempfile.mkdtemp()))
        >>> train_agents(store, [trial])[0]["status"]
        'finished'
    """
    return [_run(store, trial) for trial in trials]


def _run(store: Store, trial: Trial) -> Run:
    def work(checkpoint: Path) -> Run:
        network = trial.build().to(store.device)
        history = _trained(trial, network, checkpoint)
        return _fields(trial, network, history)

    return store.run(trial.name, trial.seed, trial.parameters(), work)


def _trained(trial: Trial, network: Network, checkpoint: Path) -> History:
    """Train a network as a trial says, after what comes first.

    The first training has a checkpoint of its own until there is one of the second. If
    it diverges there is no second.
    """
    before = checkpoint.with_suffix(f".after{checkpoint.suffix}")
    if trial.after is not None and not checkpoint.exists():
        first = _trained(trial.after, network, before)
        if first.status != "finished":
            return first

    def report(line: str) -> None:
        where = trial.match.mode
        show_progress(f"{trial.name} seed {trial.seed}, {where}: {line}")

    history = fit(
        network,
        trial.match,
        trial.recipe,
        seed=trial.seed,
        checkpoint=checkpoint,
        report=report,
    )
    before.unlink(missing_ok=True)
    return history


def _fields(trial: Trial, network: Network, history: History) -> Run:
    """What is stored of a run, its place and provenance aside."""
    whole = history.status == "finished"
    looks = whole and trial.core in ("LSTM", "GRU")
    return {
        "status": history.status,
        "metrics": final(history),
        "curves": history.curves,
        "parameter_count": sum(p.numel() for p in network.parameters()),
        "seconds": history.seconds,
        "gates": forget_along(network, trial.match) if looks else None,
    }


def final(history: History) -> dict[str, float]:
    """A run's figures: each curve's mean over the last tenth of the run.

    Returns:
        under each curve's name that mean, and ``mean_score``, the score's mean over the
        whole run: high if an agent learns early.
    """
    curves = {k: v for k, v in history.curves.items() if k != "step"}
    last = {
        name: _mean(v[-max(round(LAST * len(v)), 1) :]) for name, v in curves.items()
    }
    return last | {"mean_score": _mean(curves.get("score", []))}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def forget_along(network: Network, match: Match) -> list[list[float]]:
    """Each unit's effective forget gate at each step of an episode, (T, H).

    Means over episodes that the agent plays itself.
    """
    episodes = Episodes(match, LOOKED_AT, 0, "looked at")
    unroll = act(network, episodes, None, match.length, generator(0, "looked at"))
    with record(network) as gates, evaluating(network):
        network(unroll.x)
    means = gates["l0"]["effective_forget"].data.mean(1)
    return [[round(value, 3) for value in row] for row in means.tolist()]


class Asked(Point):
    """The control: an agent's network that is asked for the switch, with labels."""

    def build(self, device: str = "cpu") -> nn.Module:
        """The network, untrained, with as many answers as there are switches."""
        assert isinstance(self.task, Labelled)
        answers = self.task.match.switches
        options = {"actions": answers, **self.options}
        network = build(self.core, self.hidden_size, self.seed, **options)
        return Answerer(network).to(device)
