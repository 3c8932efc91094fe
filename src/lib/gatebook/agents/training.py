"""Advantage actor-critic: agents that learn from reward.

**Synchronous.** P2 used A3C (Mnih et al., 2016): many actors in processes of their own,
each changing shared weights when it is ready, with gradients of weights that may be old
by then. Here all episodes of a batch step together, and one gradient is made of all of
them: A2C. The loss is the same; a run can be repeated to the last bit, and the gradient
is that of the weights that acted.

**Whole episodes.** What must be remembered and the reward for it are an episode apart,
so that by default one unroll is one episode: the gradient reaches back to the first
step. With a shorter ``unroll`` the core's state is carried from one unroll to the next
and cut at the episode's end; the gradient stops at each unroll's start.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gatebook.agents.acting import Unroll, act
from gatebook.agents.network import Network
from gatebook.agents.returns import actor_critic, advantages
from gatebook.errors import (
    check_between,
    check_count,
    check_not_negative,
    check_positive,
)
from gatebook.match.setting import Match
from gatebook.match.world import Episodes
from gatebook.random import generator
from gatebook.training import interrupts
from gatebook.training.history import History, progress_line
from gatebook.training.step import clipped_step
from gatebook.training.stored import Stored


@dataclass(frozen=True)
class A2C:
    """How an agent learns: synchronous advantage actor-critic.

    Arguments:
        updates: batches of episodes that are played.
        batch_size: B, episodes in each.
        learning_rate: Adam's.
        clip: the gradient's norm is cut to this.
        discount: γ; a reward n steps ahead counts γⁿ times.
        trace: λ of the advantages; ``None`` for λ = γ.
        value_cost: c_v.
        entropy_cost: c_e.
        unroll: steps between two gradients; ``None`` for a whole episode.
        note_every: batches between two points of a curve.

    Raises:
        ValueError: for a count below 1, or a rate or cost out of range.
    """

    updates: int
    batch_size: int = 64
    learning_rate: float = 2e-3
    clip: float = 1.0
    discount: float = 0.96
    trace: float | None = None
    value_cost: float = 0.4
    entropy_cost: float = 0.03
    unroll: int | None = None
    note_every: int = 50

    def __post_init__(self):
        for name in ("updates", "batch_size", "note_every"):
            check_count(name, getattr(self, name))
        if self.unroll is not None:
            check_count("unroll", self.unroll)
        check_positive("learning_rate", self.learning_rate)
        check_positive("clip", self.clip)
        check_between("discount", self.discount, 0.0, 1.0)
        if self.trace is not None:
            check_between("trace", self.trace, 0.0, 1.0)
        check_not_negative("value_cost", self.value_cost)
        check_not_negative("entropy_cost", self.entropy_cost)


def fit(
    network: Network,
    match: Match,
    recipe: A2C,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    report: Callable[[str], None] | None = None,
) -> History:
    """Train an agent on its own episodes.

    A loss or gradient that is not finite ends the run as diverged. If the checkpoint
    exists, the run resumes from it and ends with the same numbers; one of another
    network, setting, recipe or seed is refused. On Ctrl-C the batch of episodes is
    played to its end, the state is stored, and ``KeyboardInterrupt`` is raised; a
    second Ctrl-C stops at once.

    Arguments:
        network: changed in place.
        match: the episodes.
        recipe: how to learn.
        seed: of the episodes, and of the actions that are drawn.
        checkpoint: where the state is kept while the run goes on.
        checkpoint_seconds: the time between two stores.
        report: gets a line of progress at each point of the curves.

    Returns:
        curves over the batches (``step``), each point the mean over the episodes since
        the last one: ``score``, the reward of the last phase; ``apples``, that of the
        second; ``seen``, the share that saw the cue in the first phase; ``pressed``,
        the share that pressed a switch; ``entropy`` of the policy in the last phase, in
        nats; ``value_error``, the root mean square of the advantages.

    Raises:
        ValueError: for a checkpoint of another run.
    """
    run = _Training(network, match, recipe, seed, checkpoint, report)
    run.begin()
    interrupts.carry_out(run, checkpoint_seconds)
    return run.end()


@dataclass
class _Noted:
    """Figures of the batches since the last point of the curves."""

    figures: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **figures: float) -> None:
        for name, value in figures.items():
            self.figures.setdefault(name, []).append(value)

    def means(self) -> dict[str, float]:
        return {name: sum(v) / len(v) for name, v in self.figures.items()}


class _Training(Stored):
    """An agent in training."""

    model: Network

    def __init__(
        self,
        network: Network,
        match: Match,
        recipe: A2C,
        seed: int,
        checkpoint: Path | None,
        report: Callable[[str], None] | None,
    ):
        self.match, self.recipe, self.seed = match, recipe, seed
        self.report, self.noted = report, _Noted()
        rate = recipe.learning_rate
        optimizer = torch.optim.Adam(network.parameters(), lr=rate)
        made_with = asdict(recipe) | {"seed": seed}
        made_with |= {f"match.{k}": v for k, v in match.describe().items()}
        made_with |= {"device": network.encoder.weight.device.type}
        super().__init__(network, optimizer, checkpoint, made_with)

    def progress(self) -> dict[str, Any]:
        """Figures since the last point of the curves."""
        return {"noted": self.noted.figures}

    def resume(self, progress: dict[str, Any]) -> None:
        """Put them back."""
        self.noted = _Noted(progress["noted"])

    def goes_on(self) -> bool:
        """Whether there is something left to do."""
        history = self.history
        return history.step < self.recipe.updates and history.diverged_at is None

    def advance(self) -> None:
        """Play one batch of episodes to their end, and learn from it."""
        recipe, update = self.recipe, self.history.step
        episodes = Episodes(self.match, recipe.batch_size, self.seed, "train", update)
        g = generator(self.seed, "actions", update)
        self.history.step += 1
        state = None
        while not episodes.done:
            steps = recipe.unroll or self.match.length
            unroll = act(self.model, episodes, state, steps, g)
            if not self._learn(unroll, episodes):
                self.history.diverged_at = self.history.step
                return
            state = unroll.after
        self._note(episodes)

    def _learn(self, unroll: Unroll, episodes: Episodes) -> bool:
        """One gradient step; ``False`` if something is not finite."""
        recipe, steps = self.recipe, len(unroll.actions)
        said = self.model(unroll.x, unroll.before)
        values = said.values.detach()
        after = torch.zeros_like(values[0]) if episodes.done else values[steps]
        trace = recipe.discount if recipe.trace is None else recipe.trace
        found = advantages(
            unroll.rewards, values[:steps], after, recipe.discount, trace
        )
        said = said._replace(logits=said.logits[:steps], values=said.values[:steps])
        costs = recipe.value_cost, recipe.entropy_cost
        loss, entropy = actor_critic(said, unroll.actions, found, *costs)
        loss = loss + said.own
        self._note_learning(episodes, entropy, found)
        return bool(torch.isfinite(loss)) and self._descend(loss)

    def _descend(self, loss: Tensor) -> bool:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        return clipped_step(self.model, self.optimizer, self.recipe.clip)

    # -- curves ----------------------------------------------------------------

    def _note_learning(
        self, episodes: Episodes, entropy: Tensor, found: Tensor
    ) -> None:
        """The entropy where a switch is chosen: elsewhere it says little."""
        steps = len(entropy)
        first = self.match.explore + self.match.delay - (episodes.time - steps)
        if first < steps:
            self.noted.add(entropy=entropy[max(first, 0) :].mean().item())
        self.noted.add(value_error=found.square().mean().sqrt().item())

    def _note(self, episodes: Episodes) -> None:
        """Count a batch of episodes, and add a point to the curves where one is due."""
        self.noted.add(
            score=float(episodes.score.mean()),
            apples=float(episodes.apples.mean()),
            seen=float(episodes.seen.mean()),
            pressed=float((episodes.chosen >= 0).mean()),
        )
        step, recipe = self.history.step, self.recipe
        if step % recipe.note_every and step != recipe.updates:
            return
        means, self.noted = self.noted.means(), _Noted()
        self.history.note(step, means)
        if self.report is not None:
            seconds = time.monotonic() - self.started
            self.report(progress_line(step, recipe.updates, seconds, means))
