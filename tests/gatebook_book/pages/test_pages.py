"""Discovery, and every mistake that must stop a run before it starts."""

import pytest
from gatebook_book.pages.execute import run_page
from gatebook_book.pages.pages import Parameter, find, page_names


def test_pages_come_in_the_order_of_the_table_of_contents(book):
    assert page_names() == ["plain", "first", "second"]


def test_parameters_have_type_default_and_help(book):
    parameters = find("first").parameters()
    assert [(p.name, p.kind, p.default, p.help) for p in parameters.values()] == [
        ("steps", "int", 3, "how long"),
        ("rate", "float", 0.5, "how fast"),
        ("gates", "list[str]", ["LSTM"], "which"),
        ("fast", "bool", False, "whether"),
    ]


def test_a_page_without_code_has_no_parameters(book):
    assert not find("plain").has_code
    assert find("plain").parameters() == {}


def test_the_command_line_goes_over_the_profile(book):
    effective = find("first").effective("laptop", {"steps": "9"})
    assert effective == {"steps": 9, "gates": ["LSTM", "UR"]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("gates=UR,LSTM", ["UR", "LSTM"]),
        ("gates=[UR, LSTM]", ["UR", "LSTM"]),
        ("gates=UR", ["UR"]),
        ("gates=[]", []),
        ("rate=1e-3", 1e-3),
        ("rate=2", 2.0),
        ("fast=true", True),
        ("fast=False", False),
    ],
)
def test_texts_are_parsed_by_type(book, text, value):
    name, _, typed = text.partition("=")
    assert find("first").effective("book", {name: typed}) == {name: value}


def test_a_size_that_masters_cannot_share_is_told_before_the_page_starts():
    page = find("memory/copy")
    with pytest.raises(ValueError, match="hidden_size is 20; .*'OM': a multiple of 16"):
        page.effective("smoke", {"gates": "LSTM,OM", "hidden_size": "20"})
    page.effective("smoke", {"gates": "LSTM,OM", "hidden_size": "32"})


MISTAKES = [
    ("frist", "book", {}, ["unknown page 'frist'", "did you mean 'first'"]),
    ("first", "smok", {}, ["unknown profile 'smok'", "did you mean 'smoke'"]),
    ("first", "book", {"step": "1"}, ["'step'", "did you mean 'steps'", "first"]),
    ("first", "book", {"steps": "many"}, ["steps is 'many'", "type int"]),
    ("first", "book", {"steps": "1.5"}, ["steps is '1.5'", "type int"]),
    ("first", "book", {"fast": "1"}, ["fast is '1'", "type bool"]),
    ("first", "book", {"steps": ""}, ["steps is ''", "type int"]),
    ("first", "book", {"gates": ""}, ["gates is ''", "list[str], [] for an empty"]),
    ("first", "book", {"gates": "UR,,C"}, ["gates is 'UR,,C'", "list[str]"]),
    ("first", "book", {"gates": "[UR,]"}, ["gates is '[UR,]'", "list[str]"]),
    ("first", "book", {"steps": "0"}, ["steps is 0; allowed: an integer >= 1"]),
    ("first", "book", {"steps": "-3"}, ["steps is -3; allowed: an integer >= 1"]),
    ("first", "book", {"rate": "0"}, ["rate is 0.0; allowed: a finite number > 0"]),
    ("first", "book", {"rate": "nan"}, ["rate is nan; allowed: a finite number"]),
    ("first", "book", {"rate": "inf"}, ["rate is inf; allowed: a finite number"]),
    ("first", "book", {"gates": "['UR','LSTM'"}, ["gates is", "'LSTM'", "list[str]"]),
    ("first", "book", {"gates": "UR,LSTM]"}, ["gates is 'UR,LSTM]'", "list[str]"]),
    ("plain", "book", {"steps": "1"}, ["'steps'", "it has none"]),
]


@pytest.mark.parametrize(("page", "profile", "given", "words"), MISTAKES)
def test_a_mistake_stops_before_anything_runs(book, page, profile, given, words):
    with pytest.raises(ValueError) as error:
        run_page(page, profile, given)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert not (book / "_build").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("first: {stepz: 1}", ["'stepz'", "did you mean 'steps'"]),
        ("first: {steps: '1'}", ["steps is '1'", "type int"]),
        ("first: {gates: UR}", ["gates is 'UR'", "list[str]"]),
        ("first: {steps: 0}", ["steps is 0; allowed: an integer >= 1"]),
        ("first: {fast: 1}", ["fast is 1", "type bool"]),
        ("first: {fast: 1", ["smoke.yaml is not valid YAML", "line 1"]),
    ],
)
def test_a_mistake_in_a_profile_is_named(book, text, words):
    (book / "book/profiles/smoke.yaml").write_text(text)
    with pytest.raises(ValueError) as error:
        run_page("first", "smoke")
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_text_may_not_be_empty():
    with pytest.raises(ValueError, match="source is ' '; allowed: a value of type str"):
        Parameter("source", "str", "auto", "from where").parse(" ")


@pytest.mark.parametrize(
    ("name", "kind", "value", "message"),
    [
        ("hidden_size", "int", 0, "hidden_size is 0; allowed: an integer >= 1"),
        ("longer_steps", "int", -1, "longer_steps is -1"),
        ("batch_sizes", "list[int]", [4, 0], "batch_sizes is 0"),
        ("gru_rates", "list[float]", [0.1, 0.0], "gru_rates is 0.0; allowed: a finite"),
        ("tokens", "int", -1, "tokens is -1; allowed: an integer >= 0"),
        ("bias", "float", float("inf"), "bias is inf; allowed: a finite number"),
        ("dropout_input", "float", 1.5, "dropout_input is 1.5; allowed: a probab"),
        ("window", "int", 0, "window is 0; allowed: an integer >= 1"),
    ],
)
def test_a_number_out_of_its_names_range_is_refused(name, kind, value, message):
    with pytest.raises(ValueError) as error:
        Parameter(name, kind, value, "help").check_range(value)
    assert message in str(error.value)


def test_numbers_that_mean_all_or_none_are_kept():
    for name in ("tokens", "pool", "finetune", "seed", "dropout_input", "p"):
        Parameter(name, "int", 1, "help").check_range(0)
