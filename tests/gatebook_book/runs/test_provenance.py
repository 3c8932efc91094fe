"""What a run says of where it comes from."""

import importlib
import os
import resource
import sys

import psutil
import pytest
from gatebook_book.runs import provenance


def test_it_holds_what_a_reader_needs():
    made = provenance.provenance()
    assert set(made["versions"]) == {"python", "torch"}
    assert made["commit"] and made["device"] and made["date"]


@pytest.mark.skipif(os.name == "nt", reason="there is no module resource")
def test_the_peak_is_at_least_what_is_held_now():
    held, mark = psutil.Process().memory_info().rss, resource.RUSAGE_SELF
    peak = provenance.peak_memory("cpu")
    assert held * 0.9 < peak <= 1024 * resource.getrusage(mark).ru_maxrss * 1.1


def test_it_can_be_imported_where_there_is_no_resource(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert importlib.reload(provenance).commit()
