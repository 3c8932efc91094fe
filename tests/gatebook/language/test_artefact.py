"""Released models: the same numbers, and a clear error for every other file."""

import json
from dataclasses import replace

import pytest
import torch
from gatebook.checked import read_checked, write_checked
from gatebook.files import FileError
from gatebook.language import artefact
from gatebook.language.artefact import CARD, MODEL, read, release
from gatebook.language.corpus import Corpus
from gatebook.language.model import Dropouts, LanguageModel

WORDS = ("<eos>", "<unk>", "the", "ark", "of", "noah", "rain", "fell")
MODELS = {
    "tied": {"num_layers": 3},
    "one layer": {"num_layers": 1, "tied": False},
    "rare words": {"hidden_size": 16, "tied": False, "cutoffs": [2, 5]},
    "other gate": {"num_layers": 2, "gate": "UR", "weight_drop": 0.0},
    "noise": {"num_layers": 2, "gate": "G2", "dropouts": Dropouts(0, 0.1, 0.2, 0.3)},
}


def a_corpus(words=WORDS, name="text") -> Corpus:
    text = torch.tensor([2, 3, 4, 5, 0])
    return Corpus(name, text, text, text, words, "A text, 5 + 5 + 5 tokens, a test")


def a_model(**options) -> LanguageModel:
    return LanguageModel(8, 5, **{"hidden_size": 6, "seed": 1, **options})


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_read_computes_the_same_to_the_last_bit(kind, dtype, tmp_path):
    model = a_model(**MODELS[kind]).to(dtype).eval()
    release(tmp_path, model, a_corpus(), {})
    again, words = read(tmp_path)
    assert words == WORDS and not again.training
    ids = torch.randint(8, (9, 2))
    both = [m(ids, m.start(2)) for m in (model, again)]
    assert torch.equal(both[0].raw, both[1].raw)
    logs = [
        m.log_probabilities(out.raw)
        for m, out in zip((model, again), both, strict=True)
    ]
    assert torch.equal(logs[0], logs[1])
    assert repr(again.layers) == repr(model.layers)
    assert again.dropouts == model.dropouts


def test_it_can_be_trained_on(tmp_path):
    release(tmp_path, a_model(), a_corpus(), {})
    model, _ = read(tmp_path)
    assert model.head.weight is model.embedding.weight
    assert all(p.requires_grad for p in model.parameters())


def test_a_shared_weight_is_stored_once_and_the_size_is_returned(tmp_path):
    size = release(tmp_path, a_model(), a_corpus(), {})
    assert size == (tmp_path / MODEL).stat().st_size
    _, tensors = read_checked(tmp_path / MODEL)
    assert "embedding.weight" in tensors and "head.weight" not in tensors


def test_a_single_bias_stays_one(tmp_path):
    release(tmp_path, a_model(single_bias=True), a_corpus(), {})
    frozen = [not p.requires_grad for p in read(tmp_path)[0].parameters()]
    assert sum(frozen) == 3


def test_reading_draws_nothing(tmp_path):
    release(tmp_path, a_model(), a_corpus(), {})
    before = torch.get_rng_state()
    read(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


# -- the card ----------------------------------------------------------------


def test_the_card_names_data_sizes_figures_and_limits(tmp_path):
    facts = {"test perplexity": 98.2512345, "how": "20 | 30 epochs\nno more"}
    size = release(tmp_path, a_model(gate="UR"), a_corpus(), facts)
    card = (tmp_path / CARD).read_text()
    count = sum(p.numel() for p in a_model(gate="UR").parameters())
    for words in (
        "A text, 5 + 5 + 5 tokens, a test",
        "| test perplexity | 98.251 |",
        "| how | 20 \\| 30 epochs no more |",
        f"| parameters | {count:,} |",
        f"{size:,} bytes",
        "auxiliary Refine",
        "| units of the LSTM layers | 6, 6, 5 |",
        "It knows 8 words.",
    ):
        assert words in card


def test_a_card_without_figures_says_so(tmp_path):
    release(tmp_path, a_model(), a_corpus(), {})
    assert "None were given." in (tmp_path / CARD).read_text()


def test_the_licence_of_a_known_text_is_named(tmp_path):
    known = {"title": "King James Version", "licence": "public domain text"}
    release(tmp_path, a_model(), replace(a_corpus(name="kjv"), **known), {})
    card = (tmp_path / CARD).read_text()
    assert "# A language model on King James Version" in card
    assert "Licence: public domain text" in card


def test_the_three_lines_of_the_card_work(tmp_path):
    release(tmp_path, a_model(), a_corpus(), {})
    card = (tmp_path / CARD).read_text()
    code = card.partition("```python\n")[2].partition("```")[0]
    names: dict = {}
    exec(code.replace("the/folder/of/this/file", str(tmp_path)), names)
    assert names["words"] == WORDS


# -- errors ------------------------------------------------------------------


def test_a_missing_file(tmp_path):
    with pytest.raises(FileError, match=r"model\.safetensors is missing"):
        read(tmp_path)


@pytest.mark.parametrize("kept", [0, 5, 200, -1])
def test_a_cut_file(tmp_path, kept):
    release(tmp_path, a_model(), a_corpus(), {})
    file = tmp_path / MODEL
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(FileError, match="cannot be read"):
        read(tmp_path)


def test_an_altered_file(tmp_path):
    release(tmp_path, a_model(), a_corpus(), {})
    file = tmp_path / MODEL
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(FileError, match="altered: its SHA-256 sum"):
        read(tmp_path)


def test_an_altered_word(tmp_path):
    release(tmp_path, a_model(), a_corpus(), {})
    file = tmp_path / MODEL
    file.write_bytes(file.read_bytes().replace(b"noah", b"noha"))
    with pytest.raises(FileError, match="altered"):
        read(tmp_path)


def test_a_file_of_another_kind(tmp_path):
    write_checked(tmp_path / MODEL, {"a": torch.ones(2)}, {"format": "other 1"})
    with pytest.raises(FileError, match="has the format 'other 1'; allowed"):
        read(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": 7},
        {"num_layers": 2},
        {"vocabulary_size": 9},
        {"no_such": 1},
        {"dropouts": {"no_such": 1}},
    ],
)
def test_a_whole_file_that_does_not_fit(tmp_path, change):
    release(tmp_path, a_model(), a_corpus(), {})
    header, tensors = read_checked(tmp_path / MODEL)
    changed = json.loads(header["arguments"]) | change
    header["arguments"] = json.dumps(changed)
    write_checked(tmp_path / MODEL, tensors, header)
    with pytest.raises(FileError, match="does not fit this library"):
        read(tmp_path)


def test_words_and_weights_that_do_not_go_together(tmp_path):
    release(tmp_path, a_model(), a_corpus(), {})
    header, tensors = read_checked(tmp_path / MODEL)
    header["words"] = json.dumps(WORDS[:-1])
    write_checked(tmp_path / MODEL, tensors, header)
    with pytest.raises(FileError, match="7 words for a model of 8"):
        read(tmp_path)


def test_a_corpus_with_the_same_words_may_be_read(tmp_path):
    release(tmp_path, a_model(), a_corpus(), {})
    assert read(tmp_path, a_corpus())[1] == WORDS


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            (*WORDS[:5], "rain", "noah", "fell"),
            "word 5 being 'rain'; allowed: .*'noah'",
        ),
        (WORDS[:-1], "7 words, word 7 being None; allowed: the 8 words"),
        ((*WORDS, "more"), "9 words, word 8 being 'more'"),
    ],
)
def test_another_vocabulary(tmp_path, words, message):
    release(tmp_path, a_model(), a_corpus(), {})
    with pytest.raises(ValueError, match=message):
        read(tmp_path, a_corpus(words))


def test_a_model_is_not_released_with_another_vocabulary(tmp_path):
    with pytest.raises(ValueError, match="corpus is 'text' with 7 words"):
        release(tmp_path, a_model(), a_corpus(WORDS[:-1]), {})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="cannot write"):
        release(tmp_path / "file", a_model(), a_corpus(), {})


def test_the_format_is_part_of_the_file(tmp_path):
    release(tmp_path, a_model(), a_corpus(), {})
    assert read_checked(tmp_path / MODEL)[0]["format"] == artefact.FORMAT
