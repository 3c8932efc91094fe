"""What the gates and answers of a model are, at some moments of its training."""

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor, nn

from gatebook.errors import check_choice, check_count
from gatebook.modes import evaluating
from gatebook.rnn.record import record


class Snapshots:
    """One batch through a model at given steps of its training.

    It is called with the number of steps done, as `gatebook.training.fit` does with
    what it gets as ``watch``: at its evaluations. Other steps are passed over, so each
    of ``steps`` should be one of those. A run that resumes from a checkpoint leaves
    out what came before.

    Arguments:
        model: holds one recurrent module; it is left in the mode that it was in.
        x: the batch, (T, B, features).
        steps: when to look, in steps done; 0 is the model before training.
        gate: the gate's name in the record.
        layer: the layer's name in the record.

    Attributes:
        gates: by step, the gate in float32 on the CPU, (T, B, H).
        outputs: by step, what the model returned, on the CPU.

    Raises:
        ValueError: for a step that is no count, and, when it is called, for a gate or
            layer that the record lacks.

    Example:
        >>> from gatebook import LSTM
        >>> from gatebook.tasks import Copy
        >>> from gatebook.training import Plan, build, fit
        >>> task = Copy(3)
        >>> model = build(task, LSTM, 4, seed=0, gate="UR")
        >>> seen = Snapshots(model, task.batch(0)[0], steps=[0, 2])
        >>> _ = fit(model, task, Plan(2, evaluate_every=1), watch=seen)
        >>> {step: tuple(g.shape) for step, g in seen.gates.items()}
        {0: (23, 32, 4), 2: (23, 32, 4)}
    """

    def __init__(
        self,
        model: nn.Module,
        x: Float[Tensor, "T B I"],
        steps: Iterable[int],
        gate: str = "effective_forget",
        layer: str = "l0",
    ):
        self.model, self.x, self.gate, self.layer = model, x, gate, layer
        self.steps = frozenset(steps)
        for step in self.steps:
            check_count("steps", step, least=0)
        self.gates: dict[int, Float[Tensor, "T B H"]] = {}
        self.outputs: dict[int, Tensor] = {}

    def __call__(self, step: int) -> None:
        """Look at the model, if this is one of the steps."""
        if step not in self.steps:
            return
        with record(self.model) as gates, evaluating(self.model):
            output = self.model(self.x)
        check_choice("layer", self.layer, gates)
        check_choice("gate", self.gate, gates[self.layer])
        self.gates[step] = gates[self.layer][self.gate].data.float().cpu()
        self.outputs[step] = output.cpu()
