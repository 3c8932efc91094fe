// Pictures of two models that learn side by side: losses, gates of all units, timescales,
// answers. The playground and the gate explorer share them.

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

/** How many units have a timescale above a delay. */
const longer = (means, delay) => means.filter((g) => timescaleOf(g) > delay).length;

/** The end of an axis that holds `most` steps. */
const ending = (most) =>
  [200, 500, 1000, 1500, 2000, 3000, 4000, 5000].find((end) => end >= most) ?? most;

/** How many of the answers are right: tokens that agree, or sums nearer than 0.1. */
function right({ answers, target }, task) {
  const near = task === "copy" ? 0.5 : 0.1;
  return answers.reduce((sum, y, k) => sum + (Math.abs(y - target[k]) < near ? 1 : 0), 0);
}

// --- controls --------------------------------------------------------------------------

const SIDES = ["left", "right"];

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

// --- the pictures ------------------------------------------------------------------------

const LOSSES = {
  copy: { top: 2.5, baseline: Math.log(8), words: "knows nothing: ln 8" },
  adding: { top: 0.25, baseline: 1 / 6, words: "knows nothing: 1/6" },
};

/** Both learning curves, named at their ends, and a line at one step if it is given. */
function lossPanel(parent, label) {
  const ticks = spaced(0, 1, 5).map((v) => [v, ""]);
  const broad = (parent.clientWidth || 720) > 560; // a wide picture, its words not larger
  const axes = panel(parent, {
    title: "Loss of both models against the steps of training",
    width: broad ? 720 : 340, height: broad ? 210 : 190,
    x: { low: 0, high: 1, label: "steps of training", ticks: [] },
    y: { low: 0, high: 1, label, ticks },
  });
  const { box } = axes;
  const xTexts = [0, 0.5, 1].map((v) => axes.add("text", {
    class: v === 1 ? "tick end" : "tick", x: axes.x(v), y: box.bottom + 16 }, ""));
  const rule = axes.add("path", { class: "thin dashed" });
  const goal = axes.add("path", { class: "thin dotted" });
  const notes = [0, 1].map(() => axes.add("text", { class: "tick end", x: box.right }, ""));
  const curves = SIDES.map(() => axes.add("path", { class: "curve" }));
  const names = SIDES.map(() => axes.add("text", { class: "note end" }, ""));
  const moment = axes.add("path", { class: "thin" });
  return ({ task, hues, labels, at }, points) => {
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
    set(moment, { d: at === undefined ? "" : `M${axes.x(at / most)},${box.top}V${box.bottom}` });
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

/** Units (from long to short memory) by time; the darker, the longer a unit remembers. */
function gatesPicture(parent) {
  const frame = html("div", { class: "heat" }, parent);
  const head = html("p", { class: "quiet" }, frame, "");
  const canvas = html("canvas", { role: "img" }, frame);
  const parts = html("div", { class: "parts", "aria-hidden": "true" }, frame);
  const shown = ["", "", ""].map(() => html("span", {}, parts, ""));
  return ({ task, delay, gates, means, sortedBy = means, marks, colour, label }) => {
    const H = means.length;
    const T = gates.length / H;
    const order = [...means.keys()].sort((a, b) => sortedBy[b] - sortedBy[a]);
    set(canvas, { width: T, height: H }); // a point each; the style sheet makes it large
    const pen = canvas.getContext("2d");
    const image = pen.createImageData(T, H);
    const ink = [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16)); // of #rrggbb
    order.forEach((unit, row) => {
      for (let t = 0; t < T; t += 1) {
        const strength = 255 * depth(timescaleOf(gates[t * H + unit]));
        image.data.set([...ink, Math.round(strength)], 4 * (row * T + t));
      }
    });
    pen.putImageData(image, 0, 0);
    const long = longer(means, delay);
    set(canvas, { "aria-label": `Effective forget gates of ${label}: ${H} units by ${T} ` +
      `steps. While they wait, ${long} have a timescale above the delay of ${delay}.` });
    say(head, `forget gates of ${H} units over one sequence`);
    sections(shown, task, delay, marks, T);
  };
}

/** What happens when, below the gates. */
function sections(shown, task, delay, marks, T) {
  const ends = delay > 30 ? ["in", "out"] : ["ten tokens", "ten answers"];
  const [widths, words] = task === "copy"
    ? [[10, delay, 10], [ends[0], `${delay} blanks`, ends[1]]]
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
    const rest = task === "copy" ? "; some of the sequences:" : " to 0.1";
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

// --- a side ------------------------------------------------------------------------------

function buildSide(parent) {
  const root = html("section", { class: "racer" }, parent);
  const title = html("p", { class: "who" }, root, "");
  const status = html("p", { class: "status" }, root, "");
  const [heat, scales, answers] = [gatesPicture, scalesPanel, answersPicture].map((f) => f(root));
  return (values, report, words) => {
    set(root, { ...values.hue, "aria-label": values.label });
    say(title, values.label);
    say(status, words);
    const shown = { ...values, ...report, seen: report };
    heat(shown);
    scales(shown);
    answers(shown);
  };
}

function legend(root) {
  const row = html("p", { class: "legend quiet" }, root);
  html("span", {}, row, "A unit that forgets at once");
  html("span", { class: "ramp", "aria-hidden": "true" }, row, "");
  html("span", {}, row, `remembers for ${number(TOP)} steps`);
}
