"""How many cores a build and a sweep take."""

import os

import pytest
from gatebook_book.machine import cores
from joblib.externals.loky.backend import context


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux has affinities")
def test_only_cores_that_the_process_may_run_on_count():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_the_quota_of_a_container_counts(monkeypatch):
    monkeypatch.setattr(context, "_cpu_count_cgroup", lambda count: 1)
    assert cores() == 1
