"""Random streams that belong to one model and to one purpose.

h-detach draws must not change the data order, and gate noise must not change the
detach draws: the authors' code draws both from one stream, so changing p
also changes the batches. Here each purpose has a generator of its own.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatebook.errors import check_integer, is_integer


def derive_seed(*parts: object) -> int:
    """A 63-bit seed that depends on all ``parts``, stable between machines.

    A number of NumPy counts as the integer that it is.
    """
    plain = tuple(int(p) if is_integer(p) else p for p in parts)
    digest = hashlib.sha256(repr(plain).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*parts: object, device: torch.device | str = "cpu") -> torch.Generator:
    """A new generator seeded by ``derive_seed(*parts)``."""
    return torch.Generator(device=device).manual_seed(derive_seed(*parts))


def uniform(
    g: torch.Generator, *shape: int, dtype: torch.dtype | None = None
) -> Tensor:
    """Numbers from U[0, 1) where the generator is, whatever torch's default device."""
    return torch.rand(shape, generator=g, device=g.device, dtype=dtype)


def integers(g: torch.Generator, low: int, high: int, *shape: int) -> Tensor:
    """Integers from ``low`` to ``high - 1``, where the generator is."""
    return torch.randint(low, high, shape, generator=g, device=g.device)


def dropped(
    x: Float[Tensor, "*shape"],
    p: float,
    g: torch.Generator,
    shape: tuple[int, ...] | None = None,
) -> Float[Tensor, "*shape"]:
    """Dropout: zeros with probability p, the other values divided by 1 - p.

    Torch's own draws from its default generator, which the seed of a model does not
    decide, and which all models share.

    Arguments:
        x: values.
        p: probability, in [0, 1].
        g: draws the numbers, on the device of ``x``.
        shape: of the mask, where values of ``x`` share it; its size is 1 there.
    """
    numbers = torch.rand(shape or x.shape, generator=g, device=x.device)
    return torch.where(numbers < p, 0.0, x / max(1 - p, 1e-12))


class Streams:
    """Named generators derived from one seed, made when first used.

    Without a seed one is drawn from torch's default generator when the first number is
    needed, not when the model is built. So ``torch.manual_seed(seed + rank)`` after
    building gives every process of a distributed training its own noise, and one
    ``torch.manual_seed`` before building and running repeats both.

    Arguments:
        seed: any integer; equal seeds give equal draws.

    Raises:
        TypeError: for a seed that is not an integer.
        RuntimeError: when numbers are drawn where they would be wrong: in a forward
            pass that a backward pass repeats, or for `torch.func.vmap`.

    Example:
        >>> streams = Streams(0)
        >>> torch.rand(2, generator=streams["noise", "cpu"]).shape
        torch.Size([2])
    """

    def __init__(self, seed: int | None = None):
        if seed is not None:
            check_integer("seed", seed)
            seed = int(seed)
        self._seed = seed
        self._generators: dict[str, torch.Generator] = {}
        self.repeating = False  # whether `same_draws` has put the streams back

    @property
    def seed(self) -> int:
        """What all generators derive from; drawn now if nothing has asked for it."""
        if self._seed is None:
            self._seed = _drawn_seed()
        return self._seed

    def __getitem__(self, key: tuple[str, torch.device | str]) -> torch.Generator:
        if not self.repeating:
            _check_first_pass()
        if key[0].endswith("noise"):
            _check_not_batched()
        return self._stream(*key)

    def _stream(self, purpose: str, device: torch.device | str) -> torch.Generator:
        kind = torch.device(device).type
        name = f"{purpose}@{kind}"
        if name not in self._generators:
            # Meta tensors hold no numbers, and their device has no generator.
            place = "cpu" if kind == "meta" else device
            self._generators[name] = generator(self.seed, purpose, device=place)
        return self._generators[name]

    def reseed(self, *parts: object) -> None:
        """Start again from a seed made of the present one and ``parts``."""
        self._seed = derive_seed(self.seed, *parts)
        self._generators.clear()

    def state(self) -> dict[str, Tensor]:
        """The seed and each used stream's state, as byte tensors, for a checkpoint."""
        states = {name: g.get_state() for name, g in self._generators.items()}
        if self._seed is None:
            return states
        digits = torch.tensor(list(str(self._seed).encode()), dtype=torch.uint8)
        return states | {_SEED: digits}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Put the streams back where ``state`` found them."""
        self._generators.clear()
        if _SEED in state:
            self._seed = int(bytes(state[_SEED].tolist()).decode())
        for name, value in state.items():
            if name != _SEED:
                purpose, device = name.split("@")
                self._stream(purpose, device).set_state(value)


_SEED = "seed"


def _check_first_pass() -> None:
    """Raise inside a backward pass, which repeats a forward pass to save memory."""
    if torch._C._current_graph_task_id() != -1:
        raise RuntimeError(
            "a forward pass that a backward pass repeats would draw other random "
            "numbers than it did at first, and its gradient would be wrong; with "
            "torch.utils.checkpoint give use_reentrant=False and "
            "context_fn=gatebook.random.same_draws(model)"
        )


def _check_not_batched() -> None:
    """Raise inside `torch.func.vmap`, which cannot batch a stream's numbers."""
    top = torch._C._functorch.peek_interpreter_stack()
    if top is not None and top.key() == torch._C._functorch.TransformType.Vmap:
        raise RuntimeError(
            "torch.func.vmap cannot batch the noise that a gate draws in training; "
            "call the model's eval(), or choose a gate without noise"
        )


def _drawn_seed() -> int:
    """A seed from torch's default generator, as a plain number.

    In a thread of its own: the caller's may be batching (`torch.func.vmap`), tracing or
    without numbers (fake tensors), all of which belong to a thread.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: int(torch.randint(2**62, ()))).result()


def reseed(module: nn.Module, *parts: object) -> None:
    """Give a model's random streams new seeds, which depend on ``parts``.

    For copies that are to draw different noise, dropout, zoneout and detaching: the
    members of an ensemble made by ``copy.deepcopy``, or the processes of a distributed
    training of a model that was built with ``seed=`` or is loaded from a checkpoint.

    Arguments:
        module: all streams within it are changed; each keeps its purpose.
        parts: such as the rank, or a name and a number. Equal parts and equal seeds
            before give equal streams.

    Raises:
        ValueError: without parts, or for a module without streams.

    Example:
        >>> import copy
        >>> from gatebook import LSTM, reseed
        >>> ensemble = [copy.deepcopy(LSTM(2, 3, gate="G2", seed=0)) for _ in range(3)]
        >>> for k, member in enumerate(ensemble):
        ...     reseed(member, k)
    """
    streams = {id(s): s for s in streams_of(module).values()}  # parts may share them
    if not parts or not streams:
        raise ValueError(
            f"parts is {parts!r} and module {type(module).__name__} has {len(streams)} "
            "random streams; allowed: at least one part, and a module of gatebook's"
        )
    for s in streams.values():
        s.reseed(*parts)


def streams_of(model: nn.Module) -> dict[str, Streams]:
    """The streams of a model and of its parts, by the part's name."""
    parts = {n: getattr(m, "streams", None) for n, m in model.named_modules()}
    return {name: s for name, s in parts.items() if isinstance(s, Streams)}


Context = contextlib.AbstractContextManager[None]


def same_draws(model: nn.Module) -> Callable[[], tuple[Context, Context]]:
    """For ``context_fn`` of `torch.utils.checkpoint.checkpoint`: draw the same again.

    To save memory, that function repeats a forward pass before its gradient, and first
    restores torch's own generators. It does not know a model's streams: noise,
    detaching, dropout, zoneout and weight drop would differ between the two passes,
    and the gradient would be wrong.

    Arguments:
        model: all whose streams the pass draws from.

    Example:
        >>> from gatebook import LSTM
        >>> from torch.utils.checkpoint import checkpoint
        >>> rnn, x = LSTM(2, 3, gate="G2"), torch.zeros(4, 1, 2, requires_grad=True)
        >>> options = {"use_reentrant": False, "context_fn": same_draws(rnn)}
        >>> output, _ = checkpoint(rnn, x, **options)
    """

    def contexts() -> tuple[Context, Context]:
        before: dict[str, dict[str, Tensor]] = {}
        return _noted(model, before), _from(model, before)

    return contexts


@contextlib.contextmanager
def _noted(model: nn.Module, before: dict[str, dict[str, Tensor]]) -> Iterator[None]:
    """Note where the streams are as the pass begins."""
    before |= {name: s.state() for name, s in streams_of(model).items()}
    yield


@contextlib.contextmanager
def _from(model: nn.Module, before: dict[str, dict[str, Tensor]]) -> Iterator[None]:
    """The streams start where they were noted, and go on afterwards as if unused."""
    streams = streams_of(model)
    now = {name: s.state() for name, s in streams.items()}
    try:
        for name, s in streams.items():
            s.load_state(before[name])
            s.repeating = True
        yield
    finally:
        for name, s in streams.items():
            s.load_state(now[name])
            s.repeating = False
