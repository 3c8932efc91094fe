// The laws of the decay period D = 1 / (1 - f) at the start: P(D > z).

const constant = (x, bias) => (x < 1 + Math.exp(bias) ? 1 : 0);
const chrono = (x, tMax) => clamp((tMax - x) / (tMax - 2), 0, 1);
const uniform = (x, units) => clamp((1 / x - 1 / units) / (1 - 2 / units), 0, 1);

/** Gates j/H, j = 1 .. H, have D = H / (H - j): those with H - j < H/z; no ties. */
function cumax(x, units) {
  const above = Math.ceil((units / x) * (1 - 1e-9));
  return clamp(above / units, 0, 1);
}

export const formulas = { constant, chrono, uniform, cumax };

const LAWS = [
  { name: "constant", words: "constant bias", method: "LSTM", dash: "none",
    share: (x, { bias }) => constant(x, bias) },
  { name: "chrono", words: "chrono", method: "C", dash: "9 3",
    share: (x, { t_max: tMax }) => chrono(x, tMax) },
  { name: "uniform", words: "uniform", method: "U", dash: "4 3",
    share: (x, { units }) => uniform(x, units) },
  { name: "cumax", words: "ordered (cumax)", method: "O", dash: "1 3",
    share: (x, { units }) => cumax(x, units) },
];
const LENGTHS = decades(1, 1e4, 400);
const UNIT = [[0, "0"], [0.5, "½"], [1, "1"]];

function survivalPanel(parent, model) {
  const axes = panel(parent, {
    title: "Share of units that remember for longer than z steps, four laws",
    height: 240,
    x: { low: 1, high: 1e4, log: true, label: "z, steps", ticks: powers(0, 4) },
    y: { low: 1e-3, high: 1, log: true, label: "share of units with D > z",
      ticks: powers(-3, 0) },
  });
  const rule = axes.add("path", { class: "thin" });
  const curves = LAWS.map(({ method, dash }) =>
    axes.add("path", { class: "curve", "stroke-dasharray": dash, ...hue(method) }));
  const dots = LAWS.map(({ method }) =>
    axes.add("circle", { class: "dot", r: 4, ...hue(method) }));
  const halo = grip(axes, model, "path", (x) => ({ x }));
  return (values, shares) => {
    const at = axes.x(values.x);
    const upright = { d: `M${at},${axes.box.top}V${axes.box.bottom}` };
    [rule, halo].forEach((one) => set(one, upright));
    LAWS.forEach(({ share }, k) => {
      set(curves[k], { d: trace(axes, LENGTHS, (x) => share(x, values)) });
      const visibility = shares[k] < 1e-3 ? "hidden" : "visible";
      set(dots[k], { cx: at, cy: axes.y(Math.max(shares[k], 1e-3)), visibility });
    });
  };
}

function sharesPanel(parent) {
  const axes = panel(parent, {
    title: "The four shares at the chosen length",
    height: 240,
    x: { low: 0, high: 1, label: "share of units with D > z", ticks: UNIT },
  });
  const rows = LAWS.map(({ words, method, dash }, k) => {
    const y = 18 + 46 * k;
    const { left, right } = axes.box;
    const sample = { class: "curve", d: `M${left},${y - 4}h26`, ...hue(method) };
    axes.add("path", { ...sample, "stroke-dasharray": dash });
    axes.add("text", { class: "label start", x: left + 34, y }, words);
    const text = axes.add("text", { class: "label end", x: right, y });
    const bar = { class: "bar strong", x: left, y: y + 8, height: 12 };
    return { text, bar: axes.add("rect", { ...bar, ...hue(method) }) };
  });
  return (shares) => rows.forEach(({ text, bar }, k) => {
    say(text, percent(shares[k]));
    set(bar, { width: axes.x(shares[k]) - axes.x(0) });
  });
}

function build(parent, model) {
  const survival = survivalPanel(parent, model);
  const bars = sharesPanel(parent);
  return (values) => {
    const shares = LAWS.map(({ share }) => share(values.x, values));
    survival(values, shares);
    bars(shares);
    const named = Object.fromEntries(LAWS.map(({ name }, k) => [name, shares[k]]));
    return { ...named, words: sentence(values.x, shares) };
  };
}

function sentence(x, shares) {
  const parts = LAWS.map(({ words }, k) => `${words} ${percent(shares[k])}`);
  return `Units that remember for more than ${number(x)} steps: ${parts.join(", ")}.`;
}

const steps = (v) => `${number(v, 4)} steps`;

export default widget({
  name: "Timescales",
  title: "Timescales at the start",
  task: "at z = 100, find the forget bias at which the constant law jumps from no unit " +
    "to all of them. What do the other three laws do there?",
  sliders: [
    { name: "x", words: "length", symbol: "z", text: steps },
    { name: "bias", words: "forget bias", symbol: "b", text: (v) => fixed(v, 1) },
    { name: "t_max", words: "longest period", symbol: "T_max", text: steps },
    { name: "units", words: "number of units", symbol: "H", text: count },
  ],
  build,
});
