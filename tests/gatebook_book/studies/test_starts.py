"""P2's start of the biases, as D.5 has it."""

import pytest
from gatebook import LSTM, NINE
from gatebook_book.studies.starts import start_of_p2


@pytest.mark.parametrize("gate", NINE)
def test_one_bias_a_gate_and_one_more_where_its_law_is_random(gate):
    rnn = LSTM(3, 16, gate=gate, **start_of_p2(gate))
    trained = {name for name, p in rnn.named_parameters() if p.requires_grad}
    own = {"gate_bias_l0"} if gate in ("C", "U", "UM", "UR") else set()
    assert trained == {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0"} | own
    assert not rnn.bias_hh_l0.any()
