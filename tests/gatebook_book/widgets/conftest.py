"""The widgets' formulas as node computes them."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gatebook_book.site.node import tool
from gatebook_book.widgets.base import module

CALL = """
import { formulas } from %s;
import { readFileSync } from "node:fs";
const { name, rows } = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(rows.map((row) => formulas[name](...row))));
"""


@pytest.fixture(scope="session")
def run_node() -> Callable[[Path, Any], Any]:
    """Run a script in node: JSON in at its input, JSON out at its output."""

    def run(script: Path, given: Any) -> Any:
        done = subprocess.run(
            [tool("node"), str(script)],
            input=json.dumps(given),
            env=os.environ | {"NODE_OPTIONS": ""},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture
def in_node(tmp_path: Path, run_node: Callable[[Path, Any], Any]) -> Callable[..., Any]:
    """Call a formula of a widget's module, as it is shipped, once for each row.

    ``"units+gate_explorer"`` is a widget whose module has a second file before its own.
    """

    def call(widget: str, name: str, rows: list[tuple[Any, ...]]) -> Any:
        *shared, own = widget.split("+")
        shipped = tmp_path / f"{own}.mjs"
        shipped.write_text(module(*shared, own))
        script = tmp_path / "call.mjs"
        script.write_text(CALL % json.dumps(shipped.as_uri()))
        return run_node(script, {"name": name, "rows": rows})

    return call
