"""The search index of the site."""

import json

import pytest
from gatebook_book.site.search import cleaned

NUMBERED = '<span class="section-number">4. </span>The refine gate'


def test_titles_are_text_and_the_rest_is_left():
    index = {"titles": ["Errata", NUMBERED], "terms": {"gate": [0, 1]}}
    found = cleaned(f"Search.setIndex({json.dumps(index)})")
    assert found.startswith("Search.setIndex({") and found.endswith("})")
    assert json.loads(found[16:-1]) == index | {"titles": ["Errata", "The refine gate"]}


def test_another_file_is_refused():
    with pytest.raises(ValueError, match=r"not a call of Search\.setIndex"):
        cleaned("Index()")
