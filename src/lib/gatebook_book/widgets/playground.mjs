// The playground: two gates learn a task side by side, while one looks on. Python puts
// ENGINE before it, the text of engine.mjs, and units.mjs, which has the pictures.

// --- what is shown, as numbers ---------------------------------------------------------

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
const PRESETS = [
  { name: "The wall", what: "LSTM, UR", task: "copy", delay: 20, left: "LSTM", right: "UR",
    left_p: 0, right_p: 0, units: 64, rate: 0.01 },
  { name: "Much of it is the tie", what: "LSTM, CIFG", task: "adding", delay: 60, left: "LSTM", right: "CIFG",
    left_p: 0, right_p: 0, units: 32, rate: 0.01 },
  { name: "Cut the other path", what: "h-detach", task: "copy", delay: 10, left: "LSTM", right: "LSTM",
    left_p: 0, right_p: 0.5, units: 64, rate: 0.01 },
];
const CHOSEN = ["task", "delay", "left", "right", "left_p", "right_p", "units", "rate", "seed"];

/** Where the choices stand; a phone shows them when asked. */
function choices(root) {
  const folded = html("details", { class: "fold" }, root);
  folded.open = matchMedia("(min-width: 577px)").matches;
  html("summary", {}, folded, "Task and gates");
  return html("div", { class: "setup" }, folded);
}

function buildControls(root, model) {
  const shared = html("div", { class: "choices" }, root);
  const controls = [
    control(shared, model, { name: "task", words: "task", options: TASKNAMES }),
    slider(shared, model, { name: "delay", words: "delay", symbol: "N", text: (v) => `${v} steps`,
      tick: (v) => (v % 5 ? "" : v) }),
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
  PRESETS.forEach(({ name, what, ...values }) => {
    const button = html("button", { type: "button" }, row, name);
    html("small", {}, button, what);
    button.addEventListener("click", () => {
      for (const trait in values) model.set(trait, values[trait]);
      model.save_changes();
    });
  });
}

// --- a side --------------------------------------------------------------------------------

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
  const bar = html("div", { class: "bar-row" }, root);
  const button = html("button", { type: "button", class: "go" }, bar, "");
  const again = html("button", { type: "button" }, bar, "Start again");
  const state = html("span", { class: "quiet" }, bar, "");
  const controls = small ? [] : buildControls(choices(root), model);
  const losses = lossPanel(html("div", { class: "panels" }, root),
    "loss, mean of 20 batches");
  legend(root);
  const both = html("div", { class: "both" }, root);
  const sides = SIDES.map(() => buildSide(both));
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
    this.announce(`${this.names().join(" and ")}, not trained yet. Press Train.`);
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
    views.forEach((view, k) => this.sides[k](view, this.reports[k],
      statusOf(this.reports[k])));
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
      (this.fromStore ? " · a recorded run" : ""));
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
