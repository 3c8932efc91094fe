"""Cells whose state is a vector: minGRU, minLSTM, HGRN and RG-LRU.

Each is h_t = f_t ∘ h_{t-1} + i_t ∘ v_t with gates that read the input alone. Gates and
candidates of all steps come from one product each; `linear_recurrence` does the rest.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gatebook.errors import check_count, is_integer
from gatebook.gates import Gate
from gatebook.gates.auxiliary import Blocks
from gatebook.modern import gates
from gatebook.modern.cell import Cell, Real, check_divides, held, wide
from gatebook.modern.recurrence import linear_recurrence
from gatebook.modern.starts import Ring


def positive(v: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """minGRU's g: v + 1/2 for v ≥ 0, else σ(v). Positive: it has a logarithm."""
    return torch.where(v >= 0, v + 0.5, torch.sigmoid(v))


class _Vector(Cell):
    """A value for each unit, and gates that are as many."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        batch_first: bool = False,
        gate: str | Gate | None = None,
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(input_size, hidden_size, gate, seed, bias, batch_first)
        place: Any = {"device": device, "dtype": dtype}
        self.value = nn.Linear(self.input_size, self.hidden_size, bias, **place)
        self._make(place)
        self.reset_parameters()

    def _make(self, place: dict[str, Any]) -> None:
        self._make_gates(self.input_size, self.hidden_size, place)

    def _recur(
        self, f: Tensor, b: Tensor, h: Tensor, real: Real
    ) -> tuple[Tensor, Tensor]:
        self._note(effective_forget=f)
        states = linear_recurrence(*held(f, b, real), h)
        return states, states[-1].clone()  # not a part of the output


class MinGRU(_Vector):
    """minGRU (Feng et al. 2024): h = f h + (1 - f) g(v), with f = σ(z).

    Tied, linear in h. z and v are products of the input; g(v) = v + 1/2 for v ≥ 0,
    else σ(v). The code has no biases, so that every gate starts at 1/2; here there is
    one, which starts at 0, and takes any law. Its code calls 1 - f the gate.

    Source: arXiv 2410.01201; lucidrains/minGRU-pytorch@38b26e1
    minGRU_pytorch/minGRU.py.

    Arguments:
        input_size: I, features of the input.
        hidden_size: H, the number of units.
        bias: of gate and value; ``False`` is the published form, which takes no law.
        batch_first: input and output as (B, T, features).
        gate: the start, refine gate and noise: a paper's name (`gatebook.GATES`) or a
            `Gate`; ``None`` is the published start, f = 1/2.
        seed: of the gate's noise, as for `gatebook.LSTM`.
        device: where the parameters live.
        dtype: their dtype.

    Raises:
        ValueError: for a size below 1; for a gate that detaches, orders or shares its
            units; for a law of timescales without a bias.

    Example:
        >>> import torch
        >>> from gatebook.gates import Gate
        >>> from gatebook.modern import LogUniform
        >>> cell = MinGRU(10, 20, gate=Gate(LogUniform(2, 200)))
        >>> output, h = cell(torch.zeros(7, 3, 10))
        >>> output.shape, h.shape
        (torch.Size([7, 3, 20]), torch.Size([3, 20]))
    """

    def _log_forget(self, x):
        return gates.log_forget(self._pre(x, noisy=False))

    def _sequence(self, x, state, real):
        f, i = gates.pair(self._pre(x))
        return self._recur(f, i * positive(wide(self.value(x))), state, real)


class MinLSTM(_Vector):
    """minLSTM (Feng et al. 2024): h = f/(f + i) h + i/(f + i) g(v), f and i sigmoids.

    Tied after the division, linear in h. The quotient is one sigmoid, of
    log f - log i: a minGRU whose logit is the difference of two terms below 0. A law
    puts its logit b into both biases, b_f = b and b_i = -b, whose difference is b; with
    b_i = 0 no forget gate could start above 2/3. A refine gate acts on the quotient.

    Source: arXiv 2410.01201; lucidrains/minGRU-pytorch@38b26e1
    minGRU_pytorch/minLSTM.py, which puts a carried state through g once more; here
    two halves equal the whole. Arguments, errors and example as for `MinGRU`.
    """

    def _make(self, place):
        self._make_gates(self.input_size, self.hidden_size, place, "input")

    def _biases(self, fixed):
        return fixed | {"input": -fixed["forget"]}

    def _quotient(self, pre: Blocks) -> Blocks:
        """The pre-activations of one sigmoid that is f / (f + i)."""
        f, i = F.logsigmoid(pre["forget"]), F.logsigmoid(pre["input"])
        return {k: v for k, v in pre.items() if k != "input"} | {"forget": f - i}

    def _log_forget(self, x):
        return gates.log_forget(self._quotient(self._pre(x, noisy=False)))

    def _sequence(self, x, state, real):
        f, i = gates.pair(self._quotient(self._pre(x)))
        return self._recur(f, i * positive(wide(self.value(x))), state, real)


class Bounds(nn.Module):
    """HGRN's lower bounds of the forget gates, one for each layer and unit, trained.

    Layer k's is the sum of the first k rows of softmax(Γ) over layers: 0 in the first,
    k / layers at the start, below 1. It is P2's ordered gate, cumax, in depth.
    The first row comes first as in the authors' README; flash-linear-attention leaves
    it out in place of the last, the same in another order. Give one object to all
    layers' `HGRN`.

    Arguments:
        layers: L, how many layers share it.
        units: H.
        device: where the parameter lives.
        dtype: its dtype.

    Raises:
        ValueError: for a number of layers or units below 1.

    Example:
        >>> bounds = Bounds(2, 8)
        >>> cells = [HGRN(8, 8, bounds=bounds, layer=k) for k in range(2)]
        >>> bounds.of(1)[0].item()
        0.5
    """

    def __init__(
        self,
        layers: int,
        units: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        check_count("layers", layers)
        check_count("units", units)
        empty = torch.empty(int(layers), int(units), device=device, dtype=dtype)
        self.logits = nn.Parameter(empty)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """All logits at 0: equal steps from layer to layer."""
        nn.init.zeros_(self.logits)

    def of(self, layer: int) -> Float[Tensor, " H"]:
        """The lower bounds of a layer's gates, in [0, 1); layers count from 0.

        Raises:
            ValueError: for a layer that is not there.
        """
        if not (is_integer(layer) and 0 <= int(layer) < len(self.logits)):
            raise ValueError(
                f"layer is {layer!r}; allowed: an integer from 0 to "
                f"{len(self.logits) - 1}, a layer of these bounds"
            )
        return self.logits.softmax(0)[:layer].sum(0)


class HGRN(_Vector):
    """HGRN (Qin et al. 2023): h = f h + (1 - f) silu(v), f = γ + (1 - γ) σ(z).

    Tied, linear in h. γ is a lower bound that rises with depth, see `Bounds`. Laws and
    the refine gate act on σ(z), within [γ, 1]. The rotation of the paper's complex
    state is left out, as flash-linear-attention does.

    Source: arXiv 2311.04823; OpenNLPLab/HGRN@135e404; fla-org/
    flash-linear-attention@bc3b101d fla/layers/hgrn.py, which has no biases.

    Arguments:
        input_size: I, features of the input.
        hidden_size: H, the number of units.
        bounds: the lower bounds of all layers; ``None`` has none.
        layer: this layer's number in them, from 0.
        bias: as for `MinGRU`.
        batch_first: as for `MinGRU`.
        gate: as for `MinGRU`; the published start is σ(z) = 1/2.
        seed: as for `MinGRU`.
        device: as for `MinGRU`.
        dtype: as for `MinGRU`.

    Raises:
        ValueError: as for `MinGRU`, and for a layer that ``bounds`` does not have or
            bounds of another width.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bounds: Bounds | None = None,
        layer: int = 0,
        bias: bool = True,
        batch_first: bool = False,
        gate: str | Gate | None = None,
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        options: Any = {"bias": bias, "batch_first": batch_first}
        options |= {"gate": gate, "seed": seed}
        place: Any = {"device": device, "dtype": dtype}
        super().__init__(input_size, hidden_size, **options, **place)
        check_count("layer", layer, least=0)
        layers, units = (1, hidden_size) if bounds is None else bounds.logits.shape
        if layer >= layers or units != hidden_size:
            raise ValueError(
                f"layer is {layer} and hidden_size {hidden_size}; allowed: a layer "
                f"below {layers} and {units} units, those of bounds"
            )
        self.bounds, self.layer = bounds, int(layer)

    def _bounded(self, f: Tensor, i: Tensor) -> tuple[Tensor, Tensor]:
        """The gates within [γ, 1]; the first layer's are as they are."""
        if self.bounds is None or self.layer == 0:
            return f, i
        low = wide(self.bounds.of(self.layer))
        return low + (1 - low) * f, (1 - low) * i

    def _log_forget(self, x):
        f, i = self._bounded(*gates.pair(self._pre(x, noisy=False)))
        return torch.where(f < 0.5, f.log(), torch.log1p(-i))

    def _sequence(self, x, state, real):
        f, i = self._bounded(*gates.pair(self._pre(x)))
        return self._recur(f, i * F.silu(wide(self.value(x))), state, real)


class RGLRU(Cell):
    """RG-LRU (De et al. 2024): h = f h + √(1 - f²) (i ∘ u), f = a^(8 r).

    Not tied, linear in h. u is a product of the input; r = σ and i = σ are
    block-diagonal products of u, a = exp(-softplus(Λ)) is a parameter. r moves f
    between a⁸ and 1: a refine gate, which acts in the exponent, so that the cell takes
    no other.

    `CODE` is the start of the authors' code, ``gate=RGLRU.PAPER`` that of their paper,
    which forgets eight times as slowly. A law is one of f at r = 1/2. Noise acts on r.

    Source: arXiv 2402.19427; google-deepmind/recurrentgemma@2efa84d
    recurrentgemma/torch/layers.py. There the first step of a document has the factor 1
    in place of √(1 - f²); here no state is a state of zeros. The derivative of the root
    is finite here, too, where f rounds to 1.

    Arguments:
        input_size: I, features of the input.
        hidden_size: H, the number of units.
        heads: blocks of the gates' weights; a divisor of H.
        batch_first: as for `MinGRU`.
        gate: as for `MinGRU`, without a refine gate; ``None`` is `CODE`.
        seed: as for `MinGRU`.
        device: as for `MinGRU`.
        dtype: as for `MinGRU`.

    Raises:
        ValueError: for a gate that it cannot take, or heads that do not divide H.
    """

    CODE = Gate(Ring(0.81, 0.998001, 2))
    """a² ~ U(0.9², 0.999²), so that f = a⁴ at r = 1/2 is a²'s square."""

    PAPER = Gate(Ring(0.9, 0.999, 0.5))
    """a⁸ ~ U(0.9, 0.999), so that f = a⁴ at r = 1/2 is a⁸'s root."""

    published = CODE
    takes = gates.Takes(refine="r is one, in the exponent")
    named = ("heads",)
    quiet = ("input",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        heads: int = 1,
        batch_first: bool = False,
        gate: str | Gate | None = None,
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(input_size, hidden_size, gate, seed, batch_first=batch_first)
        self.heads = check_divides(heads, self.hidden_size)
        place: Any = {"device": device, "dtype": dtype}
        self.value = nn.Linear(self.input_size, self.hidden_size, **place)
        inputs = self.hidden_size // self.heads
        self._make_gates(inputs, self.hidden_size, place, "input")
        self.base = nn.Parameter(torch.empty(self.hidden_size, **place))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights from normal laws of variance 1 / fan-in; the law in the base Λ."""
        for weight in (self.value.weight, self.gate_weight):
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
        nn.init.zeros_(self.value.bias)
        assert self.gate_bias is not None
        nn.init.zeros_(self.gate_bias)
        logit = self._law().split(self.hidden_size)[-1]
        with torch.no_grad():  # softplus(Λ) = -log f / 4 at r = 1/2
            self.base.copy_(torch.expm1(F.softplus(-logit.double()) / 4).log())

    def _biases(self, fixed):
        return fixed | {"input": torch.zeros_like(fixed["forget"])}

    def _linear(self, x):
        """Block-diagonal: each head's gates read its own units."""
        heads = x.unflatten(-1, (self.heads, -1))
        weight = self.gate_weight.view(2, self.heads, -1, heads.shape[-1])
        assert self.gate_bias is not None
        pre = torch.einsum("tbhd,khzd->tbkhz", heads, weight)
        return pre.flatten(2) + self.gate_bias

    def _log_forget(self, x):
        return self._logs(self._pre(self.value(x), noisy=False))

    def _logs(self, pre: Blocks) -> Tensor:
        return -8 * pre["forget"].sigmoid() * F.softplus(wide(self.base))

    def _sequence(self, x, state, real):
        u = self.value(x)
        pre = self._pre(u)
        log_f = self._logs(pre)
        f = log_f.exp()
        least = torch.finfo(f.dtype).tiny
        scale = (-torch.expm1(2 * log_f)).clamp(min=least).sqrt()
        self._note(effective_forget=f)
        b = scale * pre["input"].sigmoid() * wide(u)
        states = linear_recurrence(*held(f, b, real), state)
        return states, states[-1].clone()  # not a part of the output
