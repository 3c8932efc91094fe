"""How the papers start their biases, as options of the modules."""

from typing import Any

from gatebook.gates import GATES


def start_of_p2(gate: str) -> dict[str, Any]:
    """P2's start (D.5): one bias per gate, and a random b_f as one more vector.

    D.5: for chrono and uniform initialisation "a trainable bias vector was sampled …
    and added/subtracted to the forget and input gate", and "each linear model … had its
    own trainable bias". The text does not decide whether that is one or two per gate;
    we take one. P2 states no start of its weights.

    Arguments:
        gate: a paper's name.
    """
    drawn = GATES[gate].activation.mirrors_input
    return {"single_bias": True} | ({"gate_bias": "shared"} if drawn else {})
