"""How a language model is trained: P1's recipe, which is AWD-LSTM's, and P2's."""

from dataclasses import dataclass, field

from gatebook.errors import (
    check_choice,
    check_count,
    check_flag,
    check_not_negative,
    check_positive,
)

OPTIMIZERS = ("NT-ASGD", "Adam")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run except the model and the text.

    The defaults are AWD-LSTM's for Penn Treebank (the command in its README), except
    for the number of epochs.

    Arguments:
        epochs: passes over the text.
        finetune: most passes of the second phase, which averages from its start.
        optimizer: ``"NT-ASGD"``, see `gatebook.language.train`, or ``"Adam"``.
        learning_rate: of a window of ``bptt`` steps.
        batch_size: columns.
        bptt: steps of a window; their mean, if ``varied``.
        varied: whether the length of a window is drawn (`draw_length`) and the
            learning rate is scaled with it.
        clip: largest gradient norm.
        nonmono: n of the trigger, in validations.
        ar: α, weight of the mean squared output after dropout.
        tar: β, weight of the mean squared difference of outputs a step apart.
        weight_decay: of the optimiser, on all weights.
        checks: validations per epoch.
    """

    epochs: int
    finetune: int = 0
    optimizer: str = "NT-ASGD"
    learning_rate: float = 30.0
    batch_size: int = 20
    bptt: int = 70
    varied: bool = True
    clip: float = 0.25
    nonmono: int = 5
    ar: float = 2.0
    tar: float = 1.0
    weight_decay: float = 1.2e-6
    checks: int = 1

    def __post_init__(self):
        for name in ("epochs", "batch_size", "bptt", "nonmono", "checks"):
            check_count(name, getattr(self, name))
        check_count("finetune", self.finetune, 0)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_positive("learning_rate", self.learning_rate)
        check_positive("clip", self.clip)
        check_flag("varied", self.varied)
        for name in ("ar", "tar", "weight_decay"):
            check_not_negative(name, getattr(self, name))

    def length(self, drawn: int, phase: str) -> int:
        """Steps of a window for which ``drawn`` steps were drawn."""
        return drawn


@dataclass(frozen=True)
class Capped(Recipe):
    """A recipe whose finetuning cuts long windows, as AWD-LSTM's ``finetune.py`` does.

    About 1.4 % of the windows are longer at a ``bptt`` of 70. The learning rate is that
    of the cut length.

    Arguments:
        longest: most steps of a window above ``bptt``; the code has 10.
    """

    longest: int = field(default=10, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        check_count("longest", self.longest, 0)

    def length(self, drawn: int, phase: str) -> int:
        """Steps of a window, at most ``bptt + longest`` in finetuning."""
        most = self.bptt + self.longest
        return min(drawn, most) if phase == "finetuning" else drawn
