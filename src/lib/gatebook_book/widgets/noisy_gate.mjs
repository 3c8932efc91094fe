// The noisy gate G(α, τ) of P1, with the noise mask of its code.

const cdf = (g, alpha, tau) => sigmoid(tau * logit(g) - alpha);

function pdf(g, alpha, tau) {
  const z = tau * logit(g) - alpha;
  return (tau * sigmoid(z) * sigmoid(-z)) / (g * (1 - g));
}

/** P(G ≥ 1 - ε) between its bounds, P1 eq. 8: [lower, exact, upper]. */
function openBounds(alpha, tau, epsilon) {
  const upper = sigmoid(alpha);
  const exact = sigmoid(alpha - tau * logit(1 - epsilon));
  return [upper - (tau / 4) * Math.log(1 / epsilon), exact, upper];
}

const shutBounds = (alpha, tau, epsilon) => openBounds(-alpha, tau, epsilon);

/** One gate: noise comes if v < p. */
const sample = (u, v, alpha, tau, p) =>
  sigmoid((alpha + (v < p ? logit(u) : 0)) / tau);

export const formulas = { cdf, pdf, openBounds, shutBounds, sample };

const UNIT = [[0, "0"], [0.5, "½"], [1, "1"]];
const GATE = { low: 0, high: 1, label: "gate g", ticks: UNIT };
const TOP = 4;
const BINS = 20;
const SAMPLES = 400;
const INSIDE = spaced(0.002, 0.998, 249);

/** The α at which σ(α/τ), the median of all gates with and without noise, is g. */
const alphaFor = (g, tau) => tau * logit(clamp(g, 1e-6, 1 - 1e-6));
const medianAt = (model, g) => ({ alpha: alphaFor(g, model.get("tau")) });

/** Where a gate counts as shut or open, shaded. */
function strips(axes) {
  const height = axes.box.bottom - axes.box.top;
  const place = { class: "strip", y: axes.box.top, height };
  const [shut, open] = [axes.add("rect", place), axes.add("rect", place)];
  return (epsilon) => {
    const width = axes.x(epsilon) - axes.x(0);
    set(shut, { x: axes.x(0), width });
    set(open, { x: axes.x(1 - epsilon), width });
  };
}

function densityPanel(parent, model) {
  const axes = panel(parent, {
    title: "Density of the noisy gate, with samples and the gates without noise",
    x: GATE,
    y: {
      low: 0, high: TOP, label: "density",
      ticks: [[0, "0"], [2, "2"], [4, "4"]],
    },
  });
  const shade = strips(axes);
  const bars = spaced(0, BINS - 1, BINS - 1).map((k) => {
    const place = { class: "bar", x: axes.x(k / BINS) + 0.5 };
    const width = axes.x(1 / BINS) - axes.x(0) - 1;
    return axes.add("rect", { ...place, width, ...hue("G2") });
  });
  const curve = axes.add("path", { class: "curve", ...hue("G2") });
  const stem = axes.add("path", { class: "curve", ...hue("LSTM") });
  const tip = axes.add("circle", { class: "dot", r: 4, ...hue("LSTM") });
  const weight = axes.add("text", { class: "note" });
  const halo = grip(axes, model, "circle", (g, height) =>
    ({ ...medianAt(model, g), p: 1 - height / TOP }));
  return ({ alpha, tau, p, epsilon, atom, heights }) => {
    shade(epsilon);
    heights.forEach((height, k) => {
      const top = axes.y(Math.min(height, TOP));
      set(bars[k], { y: top, height: axes.box.bottom - top });
    });
    set(curve, { d: trace(axes, INSIDE, (g) => p * pdf(g, alpha, tau)) });
    const [x, top] = [axes.x(atom), axes.y(TOP * (1 - p))];
    const visibility = p < 1 ? "visible" : "hidden";
    set(stem, { d: `M${x},${axes.box.bottom}V${top}`, visibility });
    [tip, halo].forEach((one) => set(one, { cx: x, cy: top, visibility }));
    const left = atom > 0.6;
    const anchor = { class: left ? "note end" : "note start" };
    set(weight, { x: x + (left ? -8 : 8), y: top + 5, visibility, ...anchor });
    say(weight, `${percent(1 - p)} without noise`);
  };
}

function distributionPanel(parent, model) {
  const axes = panel(parent, {
    title: "Distribution function of the gate, with the samples as a staircase",
    x: GATE,
    y: { low: 0, high: 1, label: "share of gates up to g", ticks: UNIT },
  });
  const shade = strips(axes);
  const stairs = axes.add("path", { class: "thin" });
  const curve = axes.add("path", { class: "curve", ...hue("G2") });
  const median = axes.add("circle", { class: "dot", r: 5, cy: axes.y(0.5), ...hue("G2") });
  const halo = grip(axes, model, "circle", (g) => medianAt(model, g));
  set(halo, { cy: axes.y(0.5) });
  return ({ alpha, tau, p, epsilon, atom, sorted }) => {
    shade(epsilon);
    [median, halo].forEach((one) => set(one, { cx: axes.x(atom) }));
    const share = (g) => p * cdf(g, alpha, tau);
    const low = INSIDE.filter((g) => g < atom);
    const high = INSIDE.filter((g) => g >= atom);
    // Twice the atom itself, for a jump that is upright.
    const xs = [...low, atom, atom, ...high];
    const above = (g, k) => share(g) + (k > low.length ? 1 - p : 0);
    set(curve, { d: trace(axes, xs, above) });
    const steps = sorted.map((g, k) =>
      `H${axes.x(g).toFixed(1)}V${axes.y((k + 1) / sorted.length).toFixed(1)}`);
    set(stairs, { d: `M${axes.x(0)},${axes.y(0)}${steps.join("")}H${axes.x(1)}` });
  };
}

/** A probability between the two bounds of Proposition 3.1. */
function boundsPanel(parent, name, title) {
  const axes = panel(parent, {
    title, height: 74, x: { low: 0, high: 1, label: "", ticks: UNIT },
  });
  const y = 36;
  axes.add("text", { class: "label start", x: axes.box.left, y: 16 }, name);
  const numbers = axes.add("text", { class: "label end", x: axes.box.right, y: 16 });
  const bar = axes.add("rect", { class: "area", y: y - 5, height: 10, ...hue("G2") });
  const ends = axes.add("path", { class: "curve", ...hue("G2") });
  const exact = axes.add("circle", { class: "dot", r: 4.5, cy: y, ...hue("G2") });
  return (bounds) => {
    const [low, middle, high] = bounds.map((v) => axes.x(clamp(v, 0, 1)));
    set(bar, { x: low, width: high - low });
    set(ends, { d: `M${low},${y - 8}v16M${high},${y - 8}v16` });
    set(exact, { cx: middle });
    say(numbers, bounds.map((v) => fixed(v, 3)).join(" ≤ "));
  };
}

/** Bars whose area is the share of all samples that got noise and lie there. */
function histogram(gates, masked) {
  const heights = new Array(BINS).fill(0);
  gates.forEach((g, k) => {
    if (masked[k]) heights[Math.min(BINS - 1, Math.floor(g * BINS))] += 1;
  });
  return heights.map((height) => (height * BINS) / gates.length);
}

function build(parent, model) {
  const density = densityPanel(parent, model);
  const distribution = distributionPanel(parent, model);
  const open = boundsPanel(parent, "P(G ≥ 1 − ε)", "Probability of an open gate");
  const shut = boundsPanel(parent, "P(G ≤ ε)", "Probability of a shut gate");
  return ({ alpha, tau, p, epsilon }) => {
    const draws = uniforms(model.get("seed"), 2 * SAMPLES);
    const [us, vs] = [draws.slice(0, SAMPLES), draws.slice(SAMPLES)];
    const gates = us.map((u, k) => sample(u, vs[k], alpha, tau, p));
    const drawn = {
      atom: sigmoid(alpha / tau),
      heights: histogram(gates, vs.map((v) => v < p)),
      open: openBounds(alpha, tau, epsilon),
      shut: shutBounds(alpha, tau, epsilon),
    };
    const sorted = gates.sort((a, b) => a - b);
    density({ alpha, tau, p, epsilon, ...drawn });
    distribution({ alpha, tau, p, epsilon, ...drawn, sorted });
    open(drawn.open);
    shut(drawn.shut);
    return { ...drawn, words: sentence(p, epsilon, drawn) };
  };
}

function sentence(p, epsilon, { open, shut, atom }) {
  if (p === 0) return `No gate gets noise: all are ${fixed(atom, 3)}.`;
  const noisy =
    `Of the gates with noise, ${percent(open[1])} are at least ${fixed(1 - epsilon, 2)} ` +
    `and ${percent(shut[1])} at most ${fixed(epsilon, 2)}.`;
  if (p === 1) return noisy;
  return `${noisy} The ${percent(1 - p)} without noise are ${fixed(atom, 3)}.`;
}

export default widget({
  name: "NoisyGate",
  title: "The noisy gate",
  task: "at α = 0 and ρ = 1, find the temperature at which a gate takes all values " +
    "equally often: the density is flat, the distribution function straight.",
  sliders: [
    { name: "alpha", words: "pre-activation", symbol: "α", text: (v) => fixed(v, 2) },
    { name: "tau", words: "temperature", symbol: "τ", text: (v) => fixed(v, 2) },
    { name: "p", words: "share with noise", symbol: "ρ", text: (v) => fixed(v, 2) },
    { name: "epsilon", words: "nearness", symbol: "ε", text: (v) => fixed(v, 2) },
  ],
  actions: [redraw],
  build,
});
