// The playground: two gates learn a task side by side, while one looks on. Python puts
// ENGINE before it, the text of engine.mjs.

// --- what is shown, as numbers ---------------------------------------------------------

const TOP = 2000; // steps; a gate that forgets later is drawn as one that never does
const BINS = 14;

/** The timescale 1/(1 - g) of a gate g, in steps. */
const timescaleOf = (g) => Math.min(1 / Math.max(1 - g, 1e-9), 1e9);

/** How far a timescale lies on the way from 1 step to TOP, on a logarithmic scale. */
const depth = (D) => clamp(Math.log(D) / Math.log(TOP), 0, 1);

/** Share of the units in each of BINS equal parts of that way. */
function shares(means) {
  const heights = new Array(BINS).fill(0);
  for (const g of means) {
    const bin = Math.min(BINS - 1, Math.floor(BINS * depth(timescaleOf(g))));
    heights[bin] += 1 / means.length;
  }
  return heights;
}

const BINNED = 20; // batches behind each point of a curve

/** The mean losses of each BINNED steps, and the losses that are left over. */
function binned(losses, step) {
  const points = [];
  const whole = losses.length - (losses.length % BINNED);
  for (let k = 0; k < whole; k += BINNED) {
    const at = step - losses.length + k + BINNED;
    points.push([at, mean(losses.slice(k, k + BINNED))]);
  }
  return [points, losses.slice(whole)];
}

/** The end of an axis that holds `most` steps. */
const ending = (most) =>
  [200, 500, 1000, 1500, 2000, 3000, 4000, 5000].find((end) => end >= most) ?? most;

/** How many of the answers are right: tokens that agree, or sums nearer than 0.1. */
function right({ answers, target }, task) {
  const near = task === "copy" ? 0.5 : 0.1;
  return answers.reduce((sum, y, k) => sum + (Math.abs(y - target[k]) < near ? 1 : 0), 0);
}

/** Gates from one byte each, base64: how deep their timescale lies. */
const unpacked = (text) => Float32Array.from(atob(text), (byte) =>
  1 - 1 / TOP ** (byte.charCodeAt(0) / 255));

export const formulas = { timescaleOf, depth, shares, binned, ending };

// --- controls --------------------------------------------------------------------------

const GATES = {
  LSTM: "LSTM: two free gates", CIFG: "CIFG: input gate tied", U: "U: uniform start",
  R: "R: refine gate", UR: "UR: uniform and refine", O: "O: ordered (cumax)",
  G2: "G²: noise in training",
};
const TASKNAMES = { copy: "copy ten tokens", adding: "add two numbers" };
const SIDES = ["left", "right"];
const PRESETS = [
  { name: "The wall", task: "copy", delay: 20, left: "LSTM", right: "UR",
    left_p: 0, right_p: 0, units: 64, rate: 0.01 },
  { name: "Half of it is the tie", task: "adding", delay: 60, left: "LSTM", right: "CIFG",
    left_p: 0, right_p: 0, units: 32, rate: 0.01 },
  { name: "Cut the other path", task: "copy", delay: 10, left: "LSTM", right: "LSTM",
    left_p: 0, right_p: 0.5, units: 64, rate: 0.01 },
];
const CHOSEN = ["task", "delay", "left", "right", "left_p", "right_p", "units", "rate", "seed"];

/** A labelled control that a trait and the reader both set. */
function control(parent, model, { name, words, options, ...attributes }) {
  const id = `gatebook-${name}-${Math.random().toString(36).slice(2)}`;
  const row = html("div", { class: "choice" }, parent);
  html("label", { for: id }, row, words);
  const made = html(options ? "select" : "input", { id, name, ...attributes }, row);
  Object.entries(options ?? {}).forEach(([value, text]) => html("option", { value }, made, text));
  const plain = (v) => (typeof model.get(name) === "number" ? Number(v) : v);
  made.addEventListener("change", () => {
    model.set(name, plain(made.value));
    model.save_changes();
  });
  return { name, show: () => { made.value = String(model.get(name)); } };
}

function buildControls(root, model) {
  const shared = html("div", { class: "choices" }, root);
  const controls = [
    control(shared, model, { name: "task", words: "task", options: TASKNAMES }),
    slider(shared, model, { name: "delay", words: "delay", symbol: "N", text: (v) => `${v} steps` }),
  ];
  for (const side of SIDES) {
    const set = html("fieldset", { class: "side" }, root);
    html("legend", {}, set, side === "left" ? "one gate" : "the other");
    controls.push(
      control(set, model, { name: side, words: "gate", options: GATES }),
      slider(set, model, { name: `${side}_p`, words: "h-detach", symbol: "p",
        text: (v) => fixed(v, 2) }),
    );
  }
  const more = html("details", { class: "more" }, root);
  html("summary", {}, more, "Size, rate and seed");
  const rest = html("div", { class: "choices" }, more);
  controls.push(
    control(rest, model, { name: "units", words: "units H", options: named([16, 32, 64]) }),
    control(rest, model, { name: "rate", words: "Adam's rate",
      options: named([0.001, 0.003, 0.01, 0.03]) }),
    control(rest, model, { name: "seed", words: "seed", type: "number", min: 0, max: 9999 }),
  );
  return controls;
}

const named = (values) => Object.fromEntries(values.map((v) => [v, String(v)]));

function buildPresets(root, model) {
  const row = html("div", { class: "presets", role: "group", "aria-label": "Experiments" }, root);
  html("span", { class: "quiet" }, row, "Try:");
  PRESETS.forEach(({ name, ...values }) => {
    const button = html("button", { type: "button" }, row, name);
    button.addEventListener("click", () => {
      for (const trait in values) model.set(trait, values[trait]);
      model.save_changes();
    });
  });
}

// --- the pictures ------------------------------------------------------------------------

const LOSSES = {
  copy: { top: 2.5, baseline: Math.log(8), words: "knows nothing: ln 8" },
  adding: { top: 0.25, baseline: 1 / 6, words: "knows nothing: 1/6" },
};

/** Both learning curves, named at their ends. */
function lossPanel(parent) {
  const ticks = spaced(0, 1, 5).map((v) => [v, ""]);
  const broad = (parent.clientWidth || 720) > 560; // a wide picture, its words not larger
  const axes = panel(parent, {
    title: "Loss of both models against the steps of training",
    width: broad ? 720 : 340, height: broad ? 210 : 190,
    x: { low: 0, high: 1, label: "steps of training", ticks: [] },
    y: { low: 0, high: 1, label: "loss, mean of 20 batches", ticks },
  });
  const { box } = axes;
  const xTexts = [0, 0.5, 1].map((v) => axes.add("text", {
    class: v === 1 ? "tick end" : "tick", x: axes.x(v), y: box.bottom + 16 }, ""));
  const rule = axes.add("path", { class: "thin dashed" });
  const goal = axes.add("path", { class: "thin dotted" });
  const notes = [0, 1].map(() => axes.add("text", { class: "tick end", x: box.right }, ""));
  const curves = SIDES.map(() => axes.add("path", { class: "curve" }));
  const names = SIDES.map(() => axes.add("text", { class: "note end" }, ""));
  return ({ task, hues, labels }, points) => {
    const { top, baseline, words } = LOSSES[task];
    const most = ending(Math.max(...points.flat().map(([step]) => step), 1));
    const y = (v) => axes.y(clamp(v / top, 0, 1));
    [rule, goal].forEach((path, k) =>
      set(path, { d: `M${box.left},${y(baseline / 10 ** k)}H${box.right}` }));
    [words, "solved: a tenth of it"].forEach((text, k) => {
      set(notes[k], { y: y(baseline / 10 ** k) - 5 });
      say(notes[k], text);
    });
    axes.yTexts.forEach((text, k) => say(text, number((top * k) / 5)));
    [0, most / 2, most].forEach((v, k) => say(xTexts[k], count(v)));
    points.forEach((own, side) => {
      const path = own.map(([step, loss]) =>
        `${axes.x(step / most).toFixed(1)},${y(loss).toFixed(1)}`);
      set(curves[side], { d: path.length > 1 ? `M${path.join("L")}` : "", ...hues[side] });
      nameCurve(names[side], labels[side], hues[side], own, axes, most, y);
    });
  };
}

function nameCurve(text, label, hueOf, own, axes, most, y) {
  const [step, loss] = own.at(-1) ?? [0, 0];
  const at = axes.x(step / most);
  const start = at < axes.box.left + 60;
  set(text, { x: start ? at + 4 : at, y: y(loss) + 14, class: start ? "name start" : "name end",
    ...hueOf });
  say(text, own.length > 1 ? label : "");
}

const CELL = 6;

/** Units (from long to short memory) by time; the darker, the longer a unit remembers. */
function gatesPicture(parent) {
  const frame = html("div", { class: "heat" }, parent);
  const head = html("p", { class: "quiet" }, frame, "");
  const canvas = html("canvas", { role: "img" }, frame);
  const parts = html("div", { class: "parts", "aria-hidden": "true" }, frame);
  const shown = ["", "", ""].map(() => html("span", {}, parts, ""));
  return ({ task, delay, gates, means, marks, colour, label }) => {
    const H = means.length;
    const T = gates.length / H;
    const order = [...means.keys()].sort((a, b) => means[b] - means[a]);
    if (canvas.width !== T * CELL) canvas.width = T * CELL;
    if (canvas.height !== H * CELL) canvas.height = H * CELL;
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.fillStyle = colour;
    order.forEach((unit, row) => {
      for (let t = 0; t < T; t += 1) {
        pen.globalAlpha = depth(timescaleOf(gates[t * H + unit]));
        pen.fillRect(t * CELL, row * CELL, CELL, CELL);
      }
    });
    const long = means.filter((g) => timescaleOf(g) > delay).length;
    set(canvas, { "aria-label": `Effective forget gates of ${label}: ${H} units by ${T} ` +
      `steps. While they wait, ${long} have a timescale above the delay of ${delay}.` });
    say(head, `forget gates of ${H} units over one sequence`);
    sections(shown, task, delay, marks, T);
  };
}

/** What happens when, below the gates. */
function sections(shown, task, delay, marks, T) {
  const [widths, words] = task === "copy"
    ? [[10, delay, 10], ["ten tokens", `${delay} blanks`, "ten answers"]]
    : [[marks[0], marks[1] - marks[0], T - marks[1]], ["", "↑ first mark", "↑ second"]];
  shown.forEach((span, k) => {
    span.style.flexGrow = widths[k];
    span.style.textAlign = task === "copy" ? "center" : "start"; // the mark is at the left
    say(span, words[k]);
  });
}

/** How the units' mean timescales lie, and how they lay at the start. */
function scalesPanel(root) {
  const parent = html("div", { class: "scales" }, root);
  const at = (D) => depth(D);
  const ticks = [1, 10, 100, 1000].map((D) => [at(D), number(D)]);
  const axes = panel(parent, {
    title: "Histogram of the units' timescales, now and at the start",
    height: 130,
    x: { low: 0, high: 1, label: "timescale 1/(1 − g) while waiting, steps", ticks },
    y: { low: 0, high: 1, label: "share of units", ticks: [[0, ""], [0.5, ""], [1, ""]] },
  });
  const width = (axes.x(1) - axes.x(0)) / BINS;
  const bars = spaced(0, BINS - 1, BINS - 1).map((k) =>
    axes.add("rect", { class: "bar deep", x: axes.x(k / BINS) + 0.5, width: width - 1 }));
  const first = axes.add("path", { class: "thin" });
  const rule = axes.add("path", { class: "thin dashed" });
  const note = axes.add("text", { class: "tick", y: axes.box.top - 4 }, "");
  return ({ means, start, delay, hue: own }) => {
    const [now, before] = [shares(means), shares(start)];
    const top = [0.25, 0.5, 1].find((end) => end >= Math.max(...now, ...before) - 1e-9) ?? 1;
    const y = (v) => axes.y(v / top);
    bars.forEach((bar, k) =>
      set(bar, { y: y(now[k]), height: axes.box.bottom - y(now[k]), ...own }));
    const steps = before.map((v, k) => `${k ? "L" : "M"}${axes.x(k / BINS)},${y(v)}h${width}`);
    set(first, { d: steps.join("") });
    const place = axes.x(at(delay));
    set(rule, { d: `M${place},${axes.box.top}V${axes.box.bottom}` });
    set(note, { x: place });
    say(note, "the delay");
    [0, top / 2, top].forEach((v, k) => say(axes.yTexts[k], number(v)));
  };
}

const ROWS = 4;

/** What the model answers on sequences that it never trained on. */
function answersPicture(parent) {
  const frame = html("div", { class: "answers", role: "img" }, parent);
  const head = html("p", { class: "quiet" }, frame, "");
  const table = html("div", { class: "tokens" }, frame);
  const cells = spaced(0, 10 * ROWS - 1, 10 * ROWS - 1).map(() => html("span", {}, table, ""));
  const axes = panel(frame, {
    title: "Answers against the sums asked for",
    height: 150,
    x: { low: 0, high: 2, label: "the sum", ticks: [[0, "0"], [1, "1"], [2, "2"]] },
    y: { low: 0, high: 2, label: "the answer", ticks: [[0, "0"], [1, "1"], [2, "2"]] },
  });
  const dots = spaced(0, 15, 15).map(() => axes.add("circle", { class: "dot", r: 3.5 }));
  axes.add("path", { class: "thin dashed",
    d: `M${axes.x(0)},${axes.y(0)}L${axes.x(2)},${axes.y(2)}` });
  return ({ task, seen, hue: own, label }) => {
    const good = right(seen, task);
    const all = seen.target.length;
    const what = task === "copy" ? "tokens" : "sums";
    const rest = task === "copy" ? "; four of the sequences:" : " to 0.1";
    say(head, `${good} of ${all} ${what} right${rest}`);
    set(frame, { "aria-label": `Answers of ${label}: ${good} of ${all} ${what} right.` });
    table.hidden = task !== "copy";
    axes.frame.style.display = task === "copy" ? "none" : "";
    if (task === "copy") tokens(cells, seen, own);
    else dots.forEach((dot, k) => set(dot, { cx: axes.x(seen.target[k]), ...own,
      cy: axes.y(clamp(seen.answers[k], 0, 2)) }));
  };
}

/** One row per sequence; a wrong answer is struck out. */
function tokens(cells, { answers, target }, own) {
  const batch = target.length / 10;
  cells.forEach((cell, k) => {
    const at = (k % 10) * batch + Math.floor(k / 10);
    const good = answers[at] === target[at];
    set(cell, { class: good ? "good" : "bad", ...own });
    say(cell, answers[at] ? String(answers[at]) : "–");
  });
}

// --- a side --------------------------------------------------------------------------------

function buildSide(parent) {
  const root = html("section", { class: "racer" }, parent);
  const title = html("p", { class: "who" }, root, "");
  const status = html("p", { class: "status" }, root, "");
  const [heat, scales, answers] = [gatesPicture, scalesPanel, answersPicture].map((f) => f(root));
  return (values, report) => {
    set(root, { ...values.hue, "aria-label": values.label });
    say(title, values.label);
    say(status, statusOf(report));
    const shown = { ...values, ...report, seen: report };
    heat(shown);
    scales(shown);
    answers(shown);
  };
}

function statusOf({ step, seconds, solved, broken, done }) {
  // How long a stored race took says nothing of this machine.
  const time = `${count(step)} steps` + (seconds ? `, ${fixed(seconds, 1)} s` : "");
  if (broken) return `diverged after ${time}`;
  if (solved) return `solved after ${time}`;
  if (done) return `not solved in ${time}`;
  if (!step) return "not trained yet";
  return `${time}, ${Math.round(step / Math.max(seconds, 1e-3))} steps/s`;
}

// --- training ------------------------------------------------------------------------------

/** Compiled once, for all widgets of a page. */
let compiledKernels = null;
async function kernelsOf({ kernels }) {
  const { unpack } = await engineOf();
  compiledKernels ??= Promise.all(
    Object.entries(kernels).map(async ([name, text]) => [name, await unpack(text)]));
  return Object.fromEntries(await compiledKernels);
}

let loaded = null;
function engineOf() {
  loaded ??= import(address(ENGINE));
  return loaded;
}

/** What a worker runs: the same, without a module's exports, and listening. */
const listening = () =>
  `${ENGINE.slice(0, ENGINE.lastIndexOf("\nexport {"))}\nserve(self);\n`;
const address = (text) => URL.createObjectURL(new Blob([text], { type: "text/javascript" }));

/** A model in training, in a worker of its own; where none may start, between frames. */
async function racer(bundle, choice, limit, report) {
  const start = { kernels: await kernelsOf(bundle), choice, limit,
    spec: { fields: bundle.fields, gates: bundle.gates } };
  const { serve } = await engineOf();
  const state = { going: false, ended: false };
  const tell = (told) => state.ended || report(told);
  const here = () => {
    const port = { postMessage: tell };
    serve(port, 12); // milliseconds of training between two frames
    port.onmessage({ data: { start, going: state.going } });
    return { postMessage: (data) => port.onmessage({ data }),
      terminate: () => port.onmessage({ data: { going: false } }) };
  };
  let at = null;
  try {
    at = new Worker(address(listening()));
    at.onmessage = ({ data }) => tell(data);
    at.onerror = () => { at = here(); };
    at.postMessage({ start });
  } catch {
    at = here();
  }
  return {
    go: (going) => { state.going = going; at.postMessage({ going }); },
    end: () => { state.ended = true; at.terminate(); },
  };
}

// --- all of it -------------------------------------------------------------------------------

const LIMIT = 3000; // steps
const HINT = "One run of one seed, in float32, in your browser; at most 3,000 steps. " +
  "Nothing is sent anywhere.";

function render({ model, el }) {
  const small = model.get("small");
  const root = html("div", { class: "gatebook-widget playground" }, el);
  set(root, { role: "group", "aria-label": "Playground: two gates learn side by side",
    "data-widget": "Playground" });
  root.classList.toggle("small", small);
  if (!small) buildPresets(root, model);
  const controls = small ? [] : buildControls(html("div", { class: "setup" }, root), model);
  const bar = html("div", { class: "bar-row" }, root);
  const button = html("button", { type: "button", class: "go" }, bar, "");
  const again = html("button", { type: "button" }, bar, "Start again");
  const state = html("span", { class: "quiet" }, bar, "");
  const losses = lossPanel(html("div", { class: "panels" }, root));
  const both = html("div", { class: "both" }, root);
  const sides = SIDES.map(() => buildSide(both));
  legend(root);
  const words = html("p", { class: "words", "aria-live": "polite" }, root, "");
  html("p", { class: "quiet" }, root, HINT);

  const race = new Race(model, { losses, sides, state, words, button, again, root });
  button.addEventListener("click", () => race.toggle());
  again.addEventListener("click", () => race.reset());
  let waiting = null;
  const changed = () => {
    controls.forEach((one) => one.show());
    clearTimeout(waiting); // a slider on its way, or several traits at once
    waiting = setTimeout(() => race.reset(), 150);
  };
  controls.forEach((one) => one.show());
  CHOSEN.forEach((trait) => model.on(`change:${trait}`, changed));
  return () => {
    race.leave();
    CHOSEN.forEach((trait) => model.off(`change:${trait}`, changed));
  };
}

function legend(root) {
  const row = html("p", { class: "legend quiet" }, root);
  html("span", {}, row, "forgets at once");
  html("span", { class: "ramp", "aria-hidden": "true" }, row, "");
  html("span", {}, row, `remembers for ${number(TOP)} steps`);
}

/** Two models, their pictures, and what the buttons do. */
class Race {
  constructor(model, parts) {
    Object.assign(this, { model, ...parts, going: false, turn: 0, racers: [] });
    this.calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const race = model.get("_race");
    const same = CHOSEN.every((name) => race.choice[name] === model.get(name));
    if (same) this.stored(race);
    else this.reset();
  }

  /** The picture of a race that was run before. */
  stored(race) {
    this.begin(race.choice);
    race.sides.forEach(({ points, start, report }, k) => {
      this.points[k] = points;
      this.starts[k] = start;
      this.reports[k] = { ...report, gates: unpacked(report.gates) };
    });
    this.fromStore = true;
    this.draw();
    this.announce(`A race that was run before: ${this.summary()} Press Train to run it here.`);
  }

  /** Forget what was trained. */
  begin(choice) {
    this.choice = choice;
    this.points = SIDES.map(() => []);
    this.left = SIDES.map(() => []); // losses that fill no point yet
    this.starts = SIDES.map(() => null);
    this.reports = SIDES.map(() => null);
    this.fromStore = false;
  }

  chosen() {
    return Object.fromEntries(CHOSEN.map((name) => [name, this.model.get(name)]));
  }

  /** Two models of the present choice, not trained yet. */
  async reset() {
    this.leave();
    const turn = (this.turn += 1);
    const choice = this.chosen();
    this.begin(choice);
    this.buttons();
    this.announce(`${this.names().join(" and ")}, not trained yet.`);
    const made = SIDES.map((side, k) => racer(this.model.get("_bundle"),
      sideOf(choice, side), LIMIT,
      (report) => turn === this.turn && this.take(k, report)));
    try {
      const racers = await Promise.all(made);
      if (turn === this.turn) this.racers = racers;
      else racers.forEach((one) => one.end());
    } catch (error) {
      this.announce("This browser cannot train here: it lacks WebAssembly with vectors. " +
        "The picture is of a race that was run before.");
      console.warn("playground:", error);
    }
  }

  async toggle() {
    const over = this.reports.every((report) => report?.done);
    if (this.fromStore || over) await this.reset();
    this.going = !this.going;
    this.racers.forEach((one) => one.go(this.going));
    this.announce(this.going ? `Training ${this.names().join(" and ")}.` : `Paused. ${this.summary()}`);
    this.buttons();
  }

  take(k, report) {
    if (!this.starts[k]) this.starts[k] = report.means;
    const losses = [...this.left[k], ...report.losses];
    const [points, left] = binned(losses, report.step);
    this.points[k].push(...points);
    this.left[k] = left;
    this.reports[k] = report;
    if (report.done) this.finished(k);
    this.later();
  }

  finished(k) {
    const over = this.reports.every((report) => report?.done);
    if (over) this.going = false;
    const { label } = this.view(k);
    this.announce(over ? this.summary() : `${label}: ${statusOf(this.reports[k])}.`);
    this.buttons();
  }

  /** Draw with the next frame, or once a second for those who asked for little motion. */
  later() {
    if (this.waiting) return;
    this.waiting = true;
    const draw = () => {
      this.waiting = false;
      if (this.reports.every(Boolean)) this.draw();
    };
    if (this.calm && this.going) setTimeout(draw, 1000);
    else requestAnimationFrame(draw);
  }

  draw() {
    const views = SIDES.map((_, k) => this.view(k));
    const { task } = this.choice;
    this.losses({ task, hues: views.map((v) => v.hue), labels: views.map((v) => v.label) },
      this.points);
    views.forEach((view, k) => this.sides[k](view, this.reports[k]));
    this.buttons();
    this.root.dataset.drawn = JSON.stringify({
      choice: this.choice, stored: this.fromStore, going: this.going,
      sides: this.reports.map(({ step, seconds, loss, solved, done }, k) =>
        ({ step, seconds, loss, solved, done, right: right(this.reports[k], task) })),
    });
  }

  view(k) {
    const { task, delay } = this.choice;
    const gate = this.choice[SIDES[k]];
    const p = this.choice[`${SIDES[k]}_p`];
    // The same gate twice: the second has the colour of what it differs in.
    const twin = k === 1 && gate === this.choice.left;
    const method = twin ? "h-detach" : gate;
    const colour = getComputedStyle(this.root).getPropertyValue(`--gatebook-${method}`).trim();
    const name = gate === "G2" ? "G²" : gate;
    return { task, delay, colour, hue: hue(method), start: this.starts[k],
      label: p ? `${name}, h-detach ${fixed(p, 2)}` : name };
  }

  names() {
    return SIDES.map((_, k) => this.view(k).label);
  }

  summary() {
    return SIDES.map((_, k) => {
      const report = this.reports[k];
      return report ? `${this.view(k).label} ${statusOf(report)}.` : "";
    }).join(" ");
  }

  buttons() {
    const over = this.fromStore || this.reports.every((report) => report?.done);
    say(this.button, this.going ? "Pause" : this.reports.some((r) => r?.step) && !over ? "Go on" : "Train");
    const { seed, units, rate } = this.choice;
    say(this.state, `seed ${seed}, ${units} units, rate ${rate}, batches of 32` +
      (this.fromStore ? " · stored" : ""));
  }

  announce(text) {
    say(this.words, text);
  }

  leave() {
    this.going = false;
    this.racers.forEach((one) => one.end());
    this.racers = [];
  }
}

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

const sideOf = (choice, side) => ({ task: choice.task, delay: choice.delay,
  gate: choice[side], p: choice[`${side}_p`], units: choice.units, rate: choice.rate,
  seed: choice.seed });

export default { render };
