"""Compressed models: by name, stored small, and equal after reading."""

import doctest
import itertools
import json

import hypothesis
import pytest
import torch
from gatebook import GATES, GRU, LSTM, Gate, compress
from gatebook.compress import LowRank, Quantise, Round, Rule
from gatebook.files import FileError
from gatebook.gates import (
    Chrono,
    Constant,
    Gumbel,
    HDetach,
    Master,
    Refine,
    Uniform,
)
from gatebook.modern.starts import Graded, LogUniform, Ring, Spaced, Steps
from gatebook.training import SequenceModel
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import parametrizations

SCHEMES = [Round(0.05), Round(0.05, 0.1), LowRank(2), Quantise(8), Quantise(4)]
KINDS = [LSTM, GRU, nn.LSTM, nn.GRU]


def assert_same_outputs(a, b, x):
    a, b = a(x), b(x)
    first, second = (y if isinstance(y, torch.Tensor) else y[0] for y in (a, b))
    assert torch.equal(first, second)


def payload(file):
    """Bytes of the tensors in a safetensors file."""
    content = file.read_bytes()
    return len(content) - 8 - int.from_bytes(content[:8], "little")


# -- round trips -------------------------------------------------------------------


@hypothesis.given(
    kind=st.sampled_from(KINDS),
    gate=st.sampled_from(sorted(GATES)),
    sizes=st.tuples(st.integers(1, 20), st.sampled_from([16, 32])),
    layers=st.integers(1, 2),
    both=st.booleans(),
    scheme=st.sampled_from(SCHEMES),
    gates=st.sampled_from(["own", "all", "forget"]),
    joint=st.booleans(),
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_a_model_is_the_same_after_reading(
    tmp_path_factory, kind, gate, sizes, layers, both, scheme, gates, joint
):
    if gate in ("OM", "UM"):
        gate = Gate(GATES[gate].activation, Master(8))
    options = {"gate": gate} if kind in (LSTM, GRU) else {}
    model = kind(*sizes, layers, bidirectional=both, **options)
    small = compress.apply(model, [Rule(scheme, gates, joint=joint)])
    file = tmp_path_factory.mktemp("m") / "m.safetensors"
    assert small.save(file) == file.stat().st_size
    again = compress.load(file)
    assert type(again) is kind and not again.training
    assert_same_outputs(small.model, again, torch.randn(4, 2, sizes[0]))
    for name, value in small.model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    assert payload(file) == small.whole.bytes
    # What is stored is what is reported, form by form.
    stored = sum(form.bytes for form in small.forms.values())
    assert small.compressed.bytes == stored == sum(s.bytes for s in small.sizes())


@pytest.mark.parametrize("kind", [LSTM, nn.LSTM])
def test_three_lines(tmp_path, kind):
    model = kind(40, 64)
    small = compress.low_rank(model, rank=8)
    small.save(str(tmp_path / "m.safetensors"))
    again = compress.load(str(tmp_path / "m.safetensors"))
    assert_same_outputs(again, small.model, torch.randn(5, 3, 40))
    assert "3.6 times smaller" in str(small)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_other_dtypes_stay(tmp_path, scheme, dtype):
    model = nn.LSTM(12, 16, dtype=dtype)
    small = compress.apply(model, [Rule(scheme)])
    small.save(tmp_path / "m")
    again = compress.load(tmp_path / "m").state_dict()
    for name, value in small.model.state_dict().items():
        assert value.dtype == dtype and torch.equal(again[name], value)


def test_options_of_the_module_come_back(tmp_path):
    gate = Gate(Chrono(9), Refine("zero"), Gumbel(0.7, 0.5), HDetach(0.2))
    ours = {"gate": gate, "batch_first": True, "dropout": 0.1, "weight_drop": 0.3}
    for model in (
        LSTM(3, 8, 2, zoneout=(0.1, 0.2), **ours),
        GRU(3, 8, 2, zoneout=0.2, **ours),
        LSTM(3, 8, bias=False, gate="O"),
        nn.LSTM(3, 8, batch_first=True),
    ):
        small = compress.quantised(model)
        small.save(tmp_path / "m")
        again = compress.load(tmp_path / "m")
        assert repr(again) == repr(model)
        assert_same_outputs(again, small.model, torch.randn(4, 5, 3))


def test_a_projection_stays_as_it_is(tmp_path):
    model = nn.LSTM(6, 16, proj_size=4)
    small = compress.low_rank(model, 2)
    small.save(tmp_path / "m")
    again = compress.load(tmp_path / "m")
    assert torch.equal(again.weight_hr_l0, model.weight_hr_l0)
    assert torch.equal(again.weight_hh_l0, small.model.weight_hh_l0)
    assert again.weight_hh_l0.shape == (64, 4)


def test_a_loaded_model_leaves_torchs_generator_alone(tmp_path):
    compress.quantised(nn.LSTM(3, 8)).save(tmp_path / "m")
    state = torch.get_rng_state()
    compress.load(tmp_path / "m")
    assert torch.equal(torch.get_rng_state(), state)


class Tied(nn.Module):
    """A language model in small: one matrix is embedding and head."""

    def __init__(self, gate="UR"):
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.rnns = nn.ModuleList([LSTM(16, 24, gate=gate), LSTM(24, 16, gate=gate)])
        self.head = nn.Linear(16, 50)
        self.head.weight = self.embed.weight
        self.register_buffer("count", torch.tensor(7))

    def forward(self, x):
        y = self.embed(x)
        for rnn in self.rnns:
            y = rnn(y)[0]
        return self.head(y)


def test_a_model_around_the_layers_is_read_into_another(tmp_path):
    small = compress.low_rank(Tied(), 3, layers=["rnns.1.l0"])
    file = tmp_path / "m"
    small.save(file)
    assert_same_outputs(
        compress.load(file, into=Tied()), small.model, torch.randint(50, (6, 2))
    )
    assert payload(file) == small.whole.bytes
    assert "head.weight" not in load_file(file)  # stored once, as embed.weight
    assert small.whole.numbers_before == sum(p.numel() for p in Tied().parameters()) + 1


def test_the_models_that_pages_train_are_compressed(tmp_path):
    make = lambda: SequenceModel(LSTM(1, 16, gate="G2"), 4, 3)  # noqa: E731
    small = compress.rounded(make(), 0.1, 0.2)
    small.save(tmp_path / "m")
    x = torch.randn(9, 2, 1)
    assert_same_outputs(compress.load(tmp_path / "m", make()), small.model, x)


@pytest.mark.parametrize("module", [compress, compress.model, compress.perturb])
def test_the_examples_of_the_docstrings_run(module):
    failed, tried = doctest.testmod(module)
    assert tried > 0 and not failed


# -- which weights -----------------------------------------------------------------


def changed(before, after, units=16):
    """Names of weights and numbers of blocks that differ."""
    pairs = itertools.product(before.state_dict(), range(4))
    cut = lambda m, n, k: m.state_dict()[n][k * units : (k + 1) * units]  # noqa: E731
    return {p for p in pairs if not torch.equal(cut(before, *p), cut(after, *p))}


def test_the_gate_is_compressed_and_nothing_else():
    model = LSTM(8, 16, 2, gate="U")
    after = compress.low_rank(model, 2, layers=["l1"]).model
    names = ("weight_ih_l1", "weight_hh_l1")
    assert list(model.core.blocks())[:2] == ["input", "forget"]
    assert changed(model, after) == set(itertools.product(names, (0, 1)))
    after = compress.rounded(model, gates=["output"], layers=["l0"]).model
    assert changed(model, after) == {("weight_ih_l0", 3), ("weight_hh_l0", 3)}


def test_the_model_itself_stays_as_it_was():
    model = LSTM(8, 16).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    compress.rounded(model)
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize(
    ("model", "own"),
    [
        (LSTM(4, 16, gate="UR"), ["refine", "forget"]),
        (LSTM(4, 16, gate="UM"), ["input", "forget", "master_input", "master_forget"]),
        (GRU(4, 16, gate="U"), ["forget"]),
        (GRU(4, 16, gate="UR"), ["forget", "refine"]),
        (nn.LSTM(4, 16), ["input", "forget"]),
        (nn.GRU(4, 16), ["forget"]),
    ],
)
def test_own_blocks_are_those_of_the_gate(model, own):
    forms = compress.quantised(model).forms
    found = list(dict.fromkeys(place.gate for place in forms))
    assert sorted(found) == sorted(own)
    assert len(forms) == 2 * len(own)


def test_jointly_is_one_matrix():
    model = LSTM(24, 32)
    small = compress.low_rank(model, 4, joint=True)
    assert [s.name for s in small.sizes()] == ["l0/ih+hh/input", "l0/ih+hh/forget"]
    assert small.compressed.numbers == 2 * 4 * (32 + 24 + 32)
    w = torch.cat([small.model.weight_ih_l0[:32], small.model.weight_hh_l0[:32]], 1)
    assert torch.linalg.matrix_rank(w) == 4
    assert torch.linalg.matrix_rank(small.model.weight_hh_l0[32:64]) == 4


def test_the_full_rank_leaves_the_outputs():
    model, x = LSTM(5, 16).eval(), torch.randn(4, 2, 5)
    assert torch.equal(compress.low_rank(model, 16).model(x)[0], model(x)[0])


def test_a_matrix_of_low_rank_leaves_the_outputs_but_for_rounding():
    model, x = nn.LSTM(30, 32), torch.randn(4, 2, 30)
    low = compress.low_rank(model, 8).model
    again = compress.low_rank(low, 9).model
    assert not torch.equal(again.weight_hh_l0, model.weight_hh_l0)
    torch.testing.assert_close(again(x)[0], low(x)[0])


def test_rules_share_a_model(tmp_path):
    rules = [Rule(LowRank(3)), Rule(Quantise(4), ["update", "output"])]
    small = compress.apply(nn.LSTM(32, 32), rules)
    assert len(small.forms) == 8
    # Nothing is left as it was but the biases.
    rest = small.whole.bytes - small.compressed.bytes
    assert rest == 2 * 4 * 32 * 4
    small.save(tmp_path / "m")
    again = compress.load(tmp_path / "m")
    assert_same_outputs(again, small.model, torch.randn(5, 2, 32))


@pytest.mark.parametrize("option", [{"reset": "before"}, {"gate_bias": "shared"}])
def test_a_papers_own_form_comes_back(option, tmp_path):
    small = compress.quantised(GRU(3, 8, gate="UR", **option).eval(), 8)
    small.save(tmp_path / "m")
    assert_same_outputs(
        compress.load(tmp_path / "m"), small.model, torch.randn(5, 2, 3)
    )
    if "reset" in option:
        with pytest.raises(ValueError, match="into has"):
            compress.load(tmp_path / "m", GRU(3, 8, gate="UR"))


class Twins(nn.Module):
    """Two layers with the same weights."""

    def __init__(self):
        super().__init__()
        self.a, self.b = LSTM(6, 16), LSTM(6, 16)
        self.b.weight_ih_l0, self.b.weight_hh_l0 = self.a.all_weights[0][:2]

    def forward(self, x):
        return self.a(x)[0] + self.b(x)[0]


def test_a_shared_weight_is_compressed_once(tmp_path):
    small = compress.low_rank(Twins(), 2)
    assert len(small.forms) == 4
    small.save(tmp_path / "m")
    again = compress.load(tmp_path / "m", Twins())
    assert_same_outputs(again, small.model, torch.randn(5, 2, 6))
    rules = [Rule(LowRank(2), layers=["a.l0"]), Rule(Round(), layers=["b.l0"])]
    with pytest.raises(ValueError, match=r"of 'b\.weight_ih_l0' twice; allowed: one"):
        compress.apply(Twins(), rules)


def test_the_name_of_the_gate_is_not_counted():
    whole = compress.quantised(LSTM(3, 8, gate="UR"), 8).whole
    assert whole.numbers_before == 4 * 8 * (3 + 8 + 2)


def test_sizes_are_ratios_of_bytes_and_of_numbers():
    small = compress.quantised(LSTM(64, 64), 8, "all")
    assert small.compressed.bytes == 8 * (64 * 64 + 64 * 4)
    assert small.compressed.ratio == pytest.approx(4 * 64 / (64 + 4))
    assert small.compressed.ratio_of_numbers == pytest.approx(64 / 65)
    rows = small.rows()
    assert len(rows) == 8 + 2 and rows[-1]["matrix"] == "whole model"


# -- what is refused ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m: compress.rounded(m, gates="input"),
            r"unknown gates of layer 'l0': 'input'; .*allowed: 'refine', 'forget'",
        ),
        (
            lambda m: compress.rounded(m, gates=["forgot"]),
            "did you mean 'forget'",
        ),
        (
            lambda m: compress.rounded(m, layers=["l1"]),
            "unknown layers: 'l1'; did you mean 'l0'",
        ),
        (
            lambda m: compress.apply(m, [Rule(LowRank(1)), Rule(Round(), "all")]),
            r"rules name gate 'refine' of 'weight_ih_l0' twice; allowed: one",
        ),
        (lambda m: compress.rounded(nn.Linear(2, 2)), "model is Linear without gates"),
        (lambda m: compress.rounded(nn.RNN(2, 2)), "model is RNN without gates"),
    ],
)
def test_names_that_a_model_lacks_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(LSTM(3, 16, gate="UR"))


def test_one_name_for_layers_is_refused():
    with pytest.raises(TypeError, match="layers is 'l0'; allowed: a sequence"):
        compress.rounded(LSTM(3, 16), layers="l0")


def test_weights_that_are_not_finite_are_refused():
    model = nn.LSTM(3, 4)
    with torch.no_grad():
        model.weight_hh_l0[5, 0] = float("nan")
    with pytest.raises(ValueError, match="l0/hh/forget holds NaN or infinity"):
        compress.low_rank(model, 2)


def test_a_file_that_does_not_fit_is_refused(tmp_path):
    file = tmp_path / "m"
    compress.rounded(Tied()).save(file)
    with pytest.raises(ValueError, match="into is None, but .* allowed: a model of"):
        compress.load(file)
    with pytest.raises(ValueError, match="into has .* allowed: .*Refine"):
        compress.load(file, Tied("U"))
    with pytest.raises(ValueError, match=r"into has recurrent modules \[''\]; allow"):
        compress.load(file, LSTM(3, 16))
    wide = Tied()
    wide.head = nn.Linear(16, 51)
    before = {name: value.clone() for name, value in wide.state_dict().items()}
    words = r"into does not fit .*: 'head\.\w+' has the shape \(51.*; allowed: \(50"
    with pytest.raises(ValueError, match=words):
        compress.load(file, wide)
    wide.more = nn.Linear(1, 1)
    with pytest.raises(ValueError, match=r"fit .*: into alone has 'more\.bias'; allow"):
        compress.load(file, wide)
    # Nothing has been written into it.
    assert all(torch.equal(wide.state_dict()[n], v) for n, v in before.items())


@pytest.mark.parametrize("kind", [LSTM, nn.LSTM, nn.GRU])
def test_a_model_that_reads_its_batch_first_is_refused(tmp_path, kind):
    # All tensors fit, but time and batch would change places.
    compress.rounded(kind(3, 16)).save(tmp_path / "m")
    with pytest.raises(ValueError, match="into has .*'batch_first': True"):
        compress.load(tmp_path / "m", kind(3, 16, batch_first=True))


def test_the_gradient_rule_may_differ(tmp_path):
    compress.rounded(LSTM(3, 16, h_detach=0.25)).save(tmp_path / "m")
    compress.load(tmp_path / "m", LSTM(3, 16))


def test_files_that_are_no_compressed_models_are_refused(tmp_path):
    file = tmp_path / "m"
    with pytest.raises(FileError, match="m is missing"):
        compress.load(file)
    save_file({"a": torch.zeros(2)}, file)
    with pytest.raises(FileError, match="has the format None; allowed: 'gatebook"):
        compress.load(file)
    compress.rounded(LSTM(3, 16)).save(file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    with pytest.raises(FileError, match="cannot be read"):
        compress.load(file)
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(FileError, match="is altered: its SHA-256 sum"):
        compress.load(file)


def test_the_header_says_what_is_where(tmp_path):
    compress.apply(LSTM(3, 16, gate=Gate(Uniform())), [Rule(Round(0.1, 0.2))]).save(
        tmp_path / "m"
    )
    content = (tmp_path / "m").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["modules"])[""]["type"] == "gatebook.LSTM"
    assert header["l0/ih/forget:codes"]["dtype"] == "U8"
    assert header["l0/ih/forget:codes"]["data_offsets"][1] > 0


LAWS = [LogUniform(2, 200), Steps(), Ring(), Spaced(3, 6), Graded()]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_a_start_of_the_linear_cells_can_be_read_again(law, tmp_path):
    model = LSTM(3, 32, gate=Gate(law))
    compress.low_rank(model, 2).save(tmp_path / "m")
    assert compress.load(tmp_path / "m").gate == model.gate


class Own(Constant):
    """A start that only this test knows."""


def test_a_gate_that_could_not_be_read_again_is_refused(tmp_path):
    small = compress.low_rank(LSTM(3, 32, gate=Gate(Own())), 2)
    with pytest.raises(ValueError, match="activation is Own.*no file can hold"):
        small.save(tmp_path / "m")


def test_a_single_bias_stays_one(tmp_path):
    compress.low_rank(LSTM(3, 32, single_bias=True), 2).save(tmp_path / "m")
    assert not compress.load(tmp_path / "m").bias_hh_l0.requires_grad


def test_a_weight_that_is_computed_is_refused():
    model = parametrizations.weight_norm(nn.LSTM(3, 32), "weight_hh_l0")
    with pytest.raises(ValueError, match="parametrization; allowed: none"):
        compress.low_rank(model, 2)
