"""Run the race that the playground shows before anything is trained.

    .venv/bin/python tools/race.py

It takes half a minute in node and writes ``race.json`` beside the playground.
"""

import json
import os
import subprocess

from gatebook.files import write_atomic
from gatebook_book.site.node import tool
from gatebook_book.widgets.base import FOLDER
from gatebook_book.widgets.playground import NAMES
from gatebook_book.widgets.webassembly import bundle

CHOICE = dict(task="copy", delay=20, left="LSTM", right="UR", left_p=0, right_p=0)
CHOICE |= dict(units=64, rate=0.01, seed=0)
SCRIPT = """
import { readFileSync } from "node:fs";
import { Run, Trainer, unpack } from %s;
const { bundle: { kernels: packed, ...spec }, choice } =
  JSON.parse(readFileSync(0, "utf8"));
const kernels = {};
for (const name in packed) kernels[name] = await unpack(packed[name]);
const short = (values) => Array.from(values, (v) => Number(v.toPrecision(5)));
const depth = (g) => Math.log(1 / Math.max(1 - g, 1e-9)) / Math.log(%d);
const byte = (g) => Math.round(255 * Math.min(1, depth(g)));
const bytes = (gates) => Buffer.from(Uint8Array.from(gates, byte)).toString("base64");

function race(side) {
  const own = { ...choice, gate: choice[side], p: choice[`${side}_p`] };
  const told = [];
  const trainer = new Trainer(kernels, spec, own);
  const run = new Run(trainer, %d, (report) => told.push(report));
  while (run.slice(250));
  const { gates, means, losses, answers, target, seconds, ...report } = told.at(-1);
  const all = told.flatMap((one) => one.losses);
  const bin = (k) => all.slice(k - 20, k).reduce((a, b) => a + b) / 20; // as binned()
  const bins = Math.floor(all.length / 20);
  const ends = Array.from({ length: bins }, (_, k) => 20 * k + 20);
  const points = ends.map((k) => [k, bin(k)]);
  return {
    points: points.map(short), start: short(told[0].means),
    report: { ...report, losses: [], gates: bytes(gates), means: short(means),
      answers: short(answers), target: short(target) },
  };
}
console.log(JSON.stringify({ choice, sides: ["left", "right"].map(race) }));
"""
TOP, LIMIT = 2000, 3000


def main() -> None:
    """Write the race, and say how it ended."""
    engine = json.dumps((FOLDER / "engine.mjs").as_uri())
    done = subprocess.run(
        [tool("node"), "--input-type=module", "-e", SCRIPT % (engine, TOP, LIMIT)],
        input=json.dumps({"bundle": bundle(NAMES), "choice": CHOICE}),
        env=os.environ | {"NODE_OPTIONS": ""},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    write_atomic(FOLDER / "race.json", done.stdout.encode())
    for side in json.loads(done.stdout)["sides"]:
        print(side["report"]["step"], "steps, solved:", side["report"]["solved"])


if __name__ == "__main__":
    main()
