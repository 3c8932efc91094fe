// Laws of the timescale τ = -1 / log f at the start: P(τ > x), and who serves L.

const uniform = (x, low, high, power) =>
  clamp((high - Math.exp(-1 / (power * x))) / (high - low), 0, 1);
const chrono = (x, tMax) => clamp((tMax - 1 - 1 / Math.expm1(1 / x)) / (tMax - 2), 0, 1);
const logStep = (x, low, high) =>
  clamp(Math.log(1 / (low * x)) / Math.log(high / low), 0, 1);

/** Mamba's states decay 1, 2, .. count times as fast. */
function states(x, low, high, count) {
  const several = spaced(1, count, count - 1).map((n) => logStep(n * x, low, high));
  return several.reduce((sum, share) => sum + share, 0) / count;
}

/** The integral of logStep from 0 to y. */
function integral(y, low, high) {
  const [first, last] = [1 / high, 1 / low];
  const ratio = Math.log(high / low);
  const z = clamp(y, first, last);
  const part = z * (1 + Math.log(last / z)) - first * (1 + ratio);
  return Math.min(y, first) + part / ratio;
}

const headRates = (x, low, high, least, most) =>
  (integral(most * x, low, high) - integral(least * x, low, high)) / ((most - least) * x);
const graded = (x, start, slope, power) =>
  clamp((start + Math.log(Math.expm1(1 / x))) / slope, 0, 1) ** (1 / power);
const doubleExponential = (x, start, slope, power) =>
  clamp((-start - Math.log(x)) / slope, 0, 1) ** (1 / power);
const grid = (x, periods) => periods.filter((p) => x < p).length / periods.length;
const period = (f) => -1 / Math.log(f);

const RETNET = spaced(5, 12, 7).map((k) => -1 / Math.log1p(-(2 ** -k)));
const HEADS = [3, 4, 5, 6].map((b) => 1 / Math.log1p(Math.exp(-b)));
const BOUNDS = spaced(0, 5, 5).map((layer) => period((1 + layer / 6) / 2));
const [GLA, HALF] = [[16 / Math.LN2], [1 / Math.LN2]];
const [D, T, LOW, HIGH] = [512, 1000, 0.001, 0.1];

// Hue says how the law falls: with τ⁻², τ⁻¹, not at all, by depth, or at one place.
const LAWS = [
  { name: "UGI", words: "uniform (P2)", method: "U", dash: "none",
    survival: (x) => uniform(x, 1 / D, 1 - 1 / D, 1) },
  { name: "chrono", words: "chrono, T = 1000", method: "C", dash: "none",
    survival: (x) => chrono(x, T) },
  { name: "S4", words: "S4", method: "LSTM", dash: "none",
    survival: (x) => logStep(x, LOW / 2, HIGH / 2) },
  { name: "Mamba", words: "Mamba, all states", method: "LSTM", dash: "9 3",
    survival: (x) => states(x, LOW, HIGH, 16) },
  { name: "Mamba-2", words: "Mamba-2", method: "LSTM", dash: "4 3",
    survival: (x) => headRates(x, LOW, HIGH, 1, 16) },
  { name: "GDN", words: "Gated DeltaNet", method: "LSTM", dash: "1 3",
    survival: (x) => headRates(x, LOW, HIGH, 0, 16) },
  { name: "LRU", words: "LRU, whole disc", method: "U", dash: "1 3",
    survival: (x) => uniform(x, 0, 1, 0.5) },
  { name: "RG-LRU", words: "RG-LRU, code", method: "U", dash: "9 3",
    survival: (x) => uniform(x, 0.9 ** 2, 0.999 ** 2, 2) },
  { name: "RG-LRU paper", words: "RG-LRU, paper", method: "U", dash: "4 3",
    survival: (x) => uniform(x, 0.9, 0.999, 0.5) },
  { name: "sLSTM", words: "sLSTM, 1st block", method: "O", dash: "4 3",
    survival: (x) => graded(x, 5, 12, 0.3) },
  { name: "sLSTM last", words: "sLSTM, last block", method: "O", dash: "none",
    survival: (x) => graded(x, 5, 12, 1.6) },
  { name: "RWKV-6", words: "RWKV-6, 1st layer", method: "CIFG", dash: "4 3",
    survival: (x) => doubleExponential(x, -6, 5, 0.7) },
  { name: "RWKV-6 last", words: "RWKV-6, last layer", method: "CIFG", dash: "none",
    survival: (x) => doubleExponential(x, -6, 5, 2) },
  { name: "mLSTM", words: "mLSTM, 4 heads", method: "O", dash: "1 3",
    survival: (x) => grid(x, HEADS) },
  { name: "RetNet", words: "RetNet, 8 heads", method: "LSTM0", dash: "9 3",
    survival: (x) => grid(x, RETNET) },
  { name: "HGRN", words: "HGRN, 6 layers", method: "LSTM0", dash: "4 3",
    survival: (x) => grid(x, BOUNDS) },
  { name: "GLA", words: "GLA", method: "LSTM0", dash: "1 3",
    survival: (x) => grid(x, GLA) },
  { name: "minGRU", words: "minGRU", method: "LSTM0", dash: "none",
    survival: (x) => grid(x, HALF) },
];

const served = (survival, horizon) => survival(horizon / 2) - survival(2 * horizon);
const named = (name) => LAWS.find((law) => law.name === name);

export const formulas = {
  survival: (name, x) => named(name).survival(x),
  served: (name, horizon) => served(named(name).survival, horizon),
  names: () => LAWS.map((law) => law.name),
};

const LENGTHS = decades(1, 1e4, 400);
const UNIT = [[0, "0"], [0.5, "½"], [1, "1"]];
const SPACE = 26;

function sharesAlong(parent, model) {
  const axes = panel(parent, {
    title: "Share of gates with a timescale between half a horizon and twice one",
    height: 300,
    x: { low: 1, high: 1e4, log: true, label: "horizon L, steps", ticks: powers(0, 4) },
    y: { low: 0, high: 1, label: "share with τ in [L/2, 2L]", ticks: UNIT },
  });
  const rule = axes.add("path", { class: "thin" });
  const curves = LAWS.map(({ method, dash, survival }) => axes.add("path", {
    class: "curve", "stroke-dasharray": dash, ...hue(method),
    d: trace(axes, LENGTHS, (x) => served(survival, x)),
  }));
  const halo = grip(axes, model, "path", (length) => ({ horizon: length }));
  return (horizon, shown) => {
    const at = axes.x(horizon);
    const upright = { d: `M${at},${axes.box.top}V${axes.box.bottom}` };
    [rule, halo].forEach((one) => set(one, upright));
    curves.forEach((curve, k) =>
      set(curve, { visibility: shown[k] ? "visible" : "hidden" }));
  };
}

/** A row for each chosen model, as high as they are together. */
function sharesAtOne(parent) {
  const frame = svg("svg", { role: "img", class: "panel" }, parent);
  svg("title", {}, frame, "The shares at the chosen horizon, one row per model");
  const [left, right] = [4, 336];
  const rows = LAWS.map(({ words, method, dash }) => {
    const row = svg("g", {}, frame);
    const sample = { class: "curve", d: `M${left},10h26`, ...hue(method) };
    svg("path", { ...sample, "stroke-dasharray": dash }, row);
    svg("text", { class: "label start", x: left + 34, y: 14 }, row, words);
    const text = svg("text", { class: "label end", x: right, y: 14 }, row, "");
    const place = { class: "bar strong", x: left, y: 18, height: 3 };
    return { row, text, bar: svg("rect", { ...place, ...hue(method) }, row) };
  });
  return (shares, shown) => {
    let y = 0;
    rows.forEach(({ row, text, bar }, k) => {
      const visibility = shown[k] ? "visible" : "hidden";
      set(row, { visibility, transform: `translate(0,${y})` });
      y += shown[k] ? SPACE : 0;
      say(text, percent(shares[k]));
      set(bar, { width: shares[k] * (right - left) });
    });
    set(frame, { viewBox: `0 0 340 ${Math.max(y, SPACE)}` });
  };
}

function build(parent, model) {
  const along = sharesAlong(parent, model);
  const atOne = sharesAtOne(parent);
  return ({ horizon, models }) => {
    const shown = LAWS.map(({ name }) => models.includes(name));
    const shares = LAWS.map(({ survival }) => served(survival, horizon));
    along(horizon, shown);
    atOne(shares, shown);
    const chosen = LAWS.map(({ name, words }, k) => [name, words, shares[k]])
      .filter((_, k) => shown[k]);
    return {
      shares: Object.fromEntries(chosen.map(([name, , share]) => [name, share])),
      words: sentence(horizon, chosen),
    };
  };
}

function sentence(horizon, chosen) {
  const ends = `${number(horizon / 2)} and ${number(2 * horizon)} steps`;
  if (!chosen.length) return "No model is chosen.";
  const parts = chosen.map(([, words, share]) => `${words} ${percent(share)}`);
  return `Gates that start with a timescale between ${ends}: ${parts.join("; ")}.`;
}

const steps = (v) => `${number(v, 4)} steps`;

export default widget({
  name: "Horizon",
  title: "Units that serve a horizon at the start",
  task: "tick all models. Which one serves a horizon of 1,000 steps best, and which " +
    "one of 10?",
  sliders: [{ name: "horizon", words: "horizon", symbol: "L", text: steps }],
  choices: [{
    name: "models", words: "models",
    options: LAWS.map(({ name, words }) => [name, words]),
  }],
  build,
});
