// What a unit with the constant forget gate f = σ(b) keeps of an input after k steps.

const shareLeft = (bias, steps) => sigmoid(bias) ** steps;

/** The derivative of f^k by the pre-activation: k f^k (1 - f). */
const gradient = (bias, steps) => steps * shareLeft(bias, steps) * sigmoid(-bias);

/** The largest of all gradients after k steps: that at D = k + 1. */
const largest = (steps) => Math.exp(-(steps + 1) * Math.log1p(1 / steps));

const period = (bias) => 1 + Math.exp(bias);
const biasFor = (D) => Math.log(Math.max(D - 1, 1e-3));

/** The exact time to 1/e, between D - 1 and D: -1 / ln f. */
const decay = (bias) => 1 / Math.log1p(Math.exp(-bias));

export const formulas = { shareLeft, gradient, largest, period, biasFor, decay };

const STEPS = decades(1, 1e4, 240);
const AXIS = { low: 1, high: 1e4, log: true, ticks: powers(0, 4) };
const E = [1 / Math.E, "1/e"];

function sharePanel(parent, model) {
  const axes = panel(parent, {
    title: "The share of an input that is left, against the steps since it came in",
    x: { ...AXIS, label: "steps since the input" },
    y: { low: 0, high: 1, label: "share left", ticks: [[0, "0"], E, [1, "1"]] },
  });
  const level = axes.y(E[0]);
  axes.add("path", { class: "thin dotted", d: `M${axes.box.left},${level}H${axes.box.right}` });
  const upright = uprightAt(axes, model, "k");
  const curve = axes.add("path", { class: "curve", ...hue("LSTM") });
  const unit = dotOf(axes, model);
  const name = axes.add("text", { class: "note", y: level - 12 });
  return ({ bias, steps }) => {
    const D = period(bias);
    upright(steps);
    set(curve, { d: trace(axes, STEPS, (k) => shareLeft(bias, k)) });
    unit(D, shareLeft(bias, D));
    nameAt(name, axes.x(D), `D = ${number(D)}`, axes.x(D) > 220);
  };
}

function gradientPanel(parent, model) {
  const axes = panel(parent, {
    title: "The gradient after k steps, against the timescale of the unit",
    x: { ...AXIS, label: "timescale D of the unit, steps" },
    y: { low: 0, high: 0.42, label: "gradient of the share left after k steps",
      ticks: [[0, "0"], [0.25, "¼"], E] },
  });
  const peak = axes.add("path", { class: "thin dashed" });
  const curve = axes.add("path", { class: "curve", ...hue("LSTM") });
  const unit = dotOf(axes, model);
  const name = axes.add("text", { class: "note", y: axes.box.top + 10 });
  return ({ bias, steps }) => {
    const at = axes.x(steps + 1);
    set(peak, { d: `M${at},${axes.box.bottom}V${axes.box.top}` });
    set(curve, { d: trace(axes, STEPS, (D) => gradient(biasFor(D), steps)) });
    unit(period(bias), gradient(bias, steps));
    nameAt(name, at, `largest at k + 1 = ${count(steps + 1)}`, at > 200);
  };
}

/** The line at the chosen k, which can be dragged. */
function uprightAt(axes, model, letter) {
  const halo = grip(axes, model, "path", (steps) => ({ steps }));
  const rule = axes.add("path", { class: "thin" });
  const name = axes.add("text", { class: "note", y: axes.box.top + 10 });
  return (steps) => {
    const at = axes.x(steps);
    const d = `M${at},${axes.box.bottom}V${axes.box.top}`;
    [halo, rule].forEach((one) => set(one, { d }));
    nameAt(name, at, `${letter} = ${count(steps)}`, at > 280);
  };
}

/** The unit's point, which can be dragged along the axis of timescales. */
function dotOf(axes, model) {
  const halo = grip(axes, model, "circle", (D) => ({ bias: biasFor(D) }));
  const dot = axes.add("circle", { class: "dot", r: 5, ...hue("LSTM") });
  return (D, value) => [halo, dot].forEach((one) =>
    set(one, { cx: axes.x(D), cy: axes.y(value) }));
}

/** Words right of a place, or left of it where there is no room. */
function nameAt(made, at, words, left) {
  set(made, { x: at + (left ? -10 : 10), class: left ? "note end" : "note start" });
  say(made, words);
}

function build(parent, model) {
  const panels = [sharePanel(parent, model), gradientPanel(parent, model)];
  const tell = readout(parent, [
    "forget gate, f = σ(b)", "timescale, D = 1 + eᵇ",
    "exact time to 1/e, −1/ln f", "left after k steps, fᵏ",
    "gradient, k fᵏ (1 − f)", "largest gradient, at D = k + 1",
  ]);
  return ({ bias, steps }) => {
    panels.forEach((draw) => draw({ bias, steps }));
    const drawn = {
      f: sigmoid(bias), period: period(bias), decay: decay(bias),
      left: shareLeft(bias, steps), gradient: gradient(bias, steps), largest: largest(steps),
    };
    tell(texts(drawn));
    return { ...drawn, words: sentence(steps, drawn) };
  };
}

const texts = ({ f, period: D, decay: exact, left, gradient: slope, largest: most }) => [
  number(f, 4), `${number(D, 4)} steps`, `${number(exact, 4)} steps`,
  number(left), number(slope), number(most),
];

function sentence(steps, { period: D, left, gradient: slope, largest: most }) {
  const unit = steps === 1 ? "step" : "steps";
  return (
    `The unit remembers for about ${number(D)} steps. After ${count(steps)} ${unit}, ` +
    `${number(left)} of an input is left, and the gradient is ${percent(slope / most)} ` +
    "of the largest."
  );
}

export default widget({
  name: "UnitMemory",
  title: "How long a unit remembers",
  task: "find the bias at which a unit learns fastest to keep an input for 100 steps. " +
    "What does the customary bias of 1 leave of that gradient?",
  sliders: [
    { name: "bias", words: "forget bias", symbol: "b", text: (v) => fixed(v, 1) },
    { name: "steps", words: "steps that the task wants", symbol: "k",
      text: (v) => `${count(v)} ${v === 1 ? "step" : "steps"}` },
  ],
  build,
});
