"""Tests run side by side; what one file builds is built once."""

import os

import pytest


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="runs on one core")
def test_the_tests_of_one_file_stay_on_one_core(request):
    assert request.node.nodeid.endswith(f"@{request.path}")
