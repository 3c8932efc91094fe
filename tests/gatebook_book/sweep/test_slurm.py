"""The program for Slurm on the page about sweeps, as a dry run and with a stand-in."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from gatebook_book.paths import root

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

# Starts the job on this machine and answers as Slurm does.
SBATCH = """#!/bin/bash
script=$(cat "$1")  # the file goes as soon as this ends
setsid bash -c "$script" > /dev/null 2>&1 < /dev/null &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/bash
kill -- "${@/#/-}"
"""


TEXT = (root() / "book/inside/sweeps.md").read_text()


def program():
    return re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1]


def test_the_job_that_would_be_submitted():
    said = io.StringIO()
    names = {"__name__": "dry_run"}
    code = program().replace("8786", "0")  # whatever port is free
    with contextlib.redirect_stdout(said):
        exec(code, names)
    names["cluster"].close()
    script = said.getvalue()
    for line in ("#SBATCH --cpus-per-task=1", "#SBATCH --mem=4G", "-t 04:00:00"):
        assert line in script
    assert f"{sys.executable} -m distributed.cli.dask_worker tcp://" in script
    assert "--nthreads 1" in script and "--nanny" in script


@pytest.mark.slow
def test_a_sweep_over_jobs_of_a_stand_in_for_slurm(book, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in {"sbatch": SBATCH, "scancel": SCANCEL}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    code = program().replace("8786", "28787").replace("jobs=20", "jobs=1")
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    cluster = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | {"PATH": path}
    )
    try:
        time.sleep(5)
        sweep = [sys.executable, "-m", "gatebook_book.cli", "sweep", "first"]
        host = psutil.Process(cluster.pid)
        listening = [c.laddr for c in host.net_connections() if c.status == "LISTEN"]
        ip = next(a.ip for a in listening if a.port == 28787)
        ip = "127.0.0.1" if ip in ("0.0.0.0", "::") else ip
        done = subprocess.run(
            [*sweep, "--grid", "steps=1,2", "--scheduler", f"tcp://{ip}:28787"],
            capture_output=True,
            text=True,
            timeout=150,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 done" in done.stdout
    finally:
        cluster.send_signal(signal.SIGINT)
        cluster.wait(30)
