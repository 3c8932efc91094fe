// The gate explorer: moments of stored runs, beside each other. Python puts units.mjs
// before it, which has the pictures.

const STORED = "copy-gates.js"; // beside the loader of widgets, about 0.3 MB
const LEVELS = 255;
const LIMIT = 8; // of a gate's logit

/** Gates from their bytes, each the difference from the one before; see `packed`. */
function unpackedGates(bytes) {
  const gates = new Float32Array(bytes.length);
  let level = 0;
  bytes.forEach((moved, k) => {
    level = (level + moved) % (LEVELS + 1);
    gates[k] = sigmoid((2 * LIMIT * level) / LEVELS - LIMIT);
  });
  return gates;
}

/** From all moments of units by time to one moment of time by units. */
function momentOf(gates, moment, units, times) {
  const found = new Float32Array(units * times);
  const start = moment * units * times;
  for (let unit = 0; unit < units; unit += 1) {
    for (let t = 0; t < times; t += 1) {
      found[t * units + unit] = gates[start + unit * times + t];
    }
  }
  return found;
}

export const formulas = {
  unpackedGates: (bytes) => [...unpackedGates(bytes)],
  momentOf: (...given) => [...momentOf(...given)],
};

// --- the data ------------------------------------------------------------------------------

/** The runs: from beside the page, or from the kernel of a notebook. */
async function load(model) {
  globalThis.gatebookSnapshots ??= (await beside()) ?? (await fromKernel(model));
  return globalThis.gatebookSnapshots;
}

/** A script, not a request: a page that was opened from a file may make none. */
function beside() {
  const loader = document.querySelector('script[src*="_static/widgets.js"]');
  if (!loader) return null;
  const script = html("script", { src: new URL(STORED, loader.src) });
  return new Promise((done, failed) => {
    script.addEventListener("load", () => done(globalThis.gatebookSnapshots));
    script.addEventListener("error", () => failed(new Error(`${STORED} is not there`)));
    document.head.append(script);
  });
}

function fromKernel(model) {
  return new Promise((done) => {
    const came = () => {
      model.off("change:_moments", came);
      done(JSON.parse(model.get("_moments")));
    };
    if (model.get("_moments")) return came();
    model.on("change:_moments", came);
    model.set("opened", true);
    return model.save_changes();
  });
}

async function bytesOf(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(plain).arrayBuffer());
}

/** A run with its gates as numbers; each is unpacked once. */
const ready = new Map();
async function runOf(stored, name) {
  if (!ready.has(name)) {
    const { gates, means, ...run } = stored.runs[name];
    const [all, whole] = await Promise.all([gates, means].map(bytesOf));
    ready.set(name, { ...run, gates: unpackedGates(all), means: unpackedGates(whole) });
  }
  return ready.get(name);
}

/** What the pictures show of a run at a moment. */
function reportOf(stored, run, moment, order) {
  const { hidden_size: units, length: delay } = stored.parameters;
  const meansAt = (k) => run.means.slice(k * units, (k + 1) * units);
  const step = stored.moments[moment];
  const place = run.curves.step.indexOf(step);
  const means = meansAt(moment);
  const orders = { now: moment, start: 0, end: stored.moments.length - 1 };
  return {
    step, means, start: meansAt(0), sortedBy: meansAt(orders[order]),
    gates: momentOf(run.gates, moment, units, delay + 20),
    answers: [...run.answers[moment]].map(Number), target: [...stored.target].map(Number),
    loss: run.curves.loss[place], accuracy: run.curves.accuracy[place],
    long: longer(means, delay),
  };
}

// --- what stands on the page -----------------------------------------------------------------

const NAMES = {
  LSTM: "LSTM: bias 1", C: "C: chrono start", U: "U: uniform start",
  UR: "UR: uniform and refine",
};
const ORDERS = { now: "at this moment", end: "at the end", start: "at the start" };
const TRAITS = ["left", "right", "moment", "order"];
const PAUSE = 700; // milliseconds that a moment stays when all are shown in turn

function render({ model, el }) {
  const root = html("div", { class: "gatebook-widget playground explorer" }, el);
  set(root, { role: "group", "aria-label": "Gate explorer: the gates of two runs as " +
    "training goes on", "data-widget": "GateExplorer" });
  const bar = html("div", { class: "bar-row" }, root);
  const open = html("button", { type: "button", class: "go" }, bar, "Open the explorer");
  const words = html("p", { class: "words", "aria-live": "polite" }, bar,
    "It loads the gates of four runs, about 0.3 MB.");
  const explorer = { leave: () => {} };
  open.addEventListener("click", async () => {
    open.disabled = true;
    say(words, "Loading.");
    try {
      const stored = await load(model);
      bar.remove();
      Object.assign(explorer, await explore(root, model, stored));
    } catch (error) {
      open.disabled = false;
      say(words, `The gates could not be loaded: ${error.message}.`);
    }
  });
  return () => explorer.leave();
}

/** Build everything, and draw what the traits say whenever they change. */
async function explore(root, model, stored) {
  const setup = html("div", { class: "setup" }, root);
  const controls = buildControls(setup, model, stored);
  const bar = html("div", { class: "bar-row" }, root);
  const button = html("button", { type: "button", class: "go" }, bar, "");
  const losses = lossPanel(html("div", { class: "panels" }, root), "validation loss, nats");
  const both = html("div", { class: "both" }, root);
  const sides = SIDES.map(() => buildSide(both));
  legend(root);
  const words = html("p", { class: "words", "aria-live": "polite" }, root, "");
  html("p", { class: "quiet" }, root, sourceOf(stored));
  let turn = 0;
  const draw = async () => {
    controls.forEach((one) => one.show());
    const values = valuesOf(model, stored);
    const mine = (turn += 1);
    const runs = await Promise.all(SIDES.map((side) => runOf(stored, values[side])));
    if (mine !== turn) return; // another value came meanwhile
    show(root, { losses, sides, words }, stored, values, runs, player.going());
  };
  const player = playing(model, stored, button, draw);
  TRAITS.forEach((trait) => model.on(`change:${trait}`, draw));
  await draw();
  setup.querySelector("input[type=range]").focus();
  const leave = () => {
    player.stop();
    TRAITS.forEach((trait) => model.off(`change:${trait}`, draw));
  };
  return { leave };
}

function buildControls(root, model, stored) {
  const row = html("div", { class: "choices" }, root);
  const options = Object.fromEntries(Object.keys(stored.runs).map((k) => [k, NAMES[k]]));
  return [
    slider(row, model, { name: "moment", words: "steps of training", symbol: "",
      text: (k) => count(stored.moments[k]), tick: (k) => count(stored.moments[k]) }),
    control(row, model, { name: "order", words: "units sorted", options: ORDERS }),
    control(row, model, { name: "left", words: "one gate", options }),
    control(row, model, { name: "right", words: "the other", options }),
  ];
}

/** What the traits say, if they say something that is there. */
function valuesOf(model, stored) {
  const given = Object.fromEntries(TRAITS.map((name) => [name, model.get(name)]));
  const last = stored.moments.length - 1;
  const known = (name, otherwise) => (name in stored.runs ? name : otherwise);
  return {
    left: known(given.left, "LSTM"), right: known(given.right, "UR"),
    moment: Number.isInteger(given.moment) ? clamp(given.moment, 0, last) : last,
    order: given.order in ORDERS ? given.order : "now",
  };
}

function show(root, { losses, sides, words }, stored, values, runs, going) {
  const delay = stored.parameters.length;
  const reports = runs.map((run) => reportOf(stored, run, values.moment, values.order));
  const views = SIDES.map((side, k) => viewOf(root, values, side, delay, reports[k]));
  const curves = runs.map(({ curves: { step, loss } }) => step.map((at, k) => [at, loss[k]]));
  losses({ task: "copy", hues: views.map((v) => v.hue), labels: views.map((v) => v.label),
    at: reports[0].step }, curves);
  views.forEach((view, k) => sides[k](view, reports[k], statusText(reports[k], delay)));
  if (!going) say(words, `After ${count(reports[0].step)} steps: ` +
    views.map((v, k) => `${v.label}, ${statusText(reports[k], delay)}.`).join(" "));
  root.dataset.drawn = JSON.stringify({ ...values, going, sides: reports.map(
    ({ step, loss, accuracy, long, means }) => ({ step, loss, accuracy, long, means: [...means] })) });
}

function viewOf(root, values, side, delay, { sortedBy }) {
  const twin = side === "right" && values.left === values.right;
  const method = twin ? "h-detach" : values[side]; // the second needs another colour
  const colour = getComputedStyle(root).getPropertyValue(`--gatebook-${method}`).trim();
  return { task: "copy", delay, sortedBy, colour, hue: hue(method), label: values[side] };
}

const statusText = ({ loss, accuracy, long }, delay) =>
  `loss ${fixed(loss, 2)}, ${percent(accuracy)} of the tokens right, ` +
  `${long} units with a timescale above ${delay} steps`;

function sourceOf({ parameters: p, runs, command, license }) {
  const each = (of) => [...new Set(Object.values(runs).map(of))].join(", ");
  return `Stored runs of seed ${p.seed}: delay ${p.length}, ${p.hidden_size} units, ` +
    `rate ${p.learning_rate}; loss and share right on ${p.validation_size} sequences, ` +
    `gates in 8 bits. ${each((run) => run.device)}, ` +
    `torch ${each((run) => run.versions.torch)}, commit ${each((run) => run.commit)}, ` +
    `${command}. ${license}.`;
}

/** All moments in turn, when the reader asks for it. */
function playing(model, stored, button, draw) {
  const last = stored.moments.length - 1;
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    say(button, "Play");
  };
  const go = (moment) => {
    if (moment >= last) stop();
    model.set("moment", moment);
    model.save_changes();
  };
  button.addEventListener("click", () => {
    if (timer) {
      stop();
      draw(); // and say in words where it stands
      return;
    }
    timer = setInterval(() => go(model.get("moment") + 1), PAUSE);
    say(button, "Pause");
    if (model.get("moment") >= last) go(0);
  });
  stop();
  return { stop, going: () => timer !== null };
}

export default { render };
