// The refine gate r of P2: it moves f within a band to the effective gate g.

const band = (f) => [f * f, f * (2 - f)];
const effective = (f, r) => (1 - r) * f * f + r * f * (2 - f);
const timescale = (f) => 1 / (1 - f);

/** 1 / (1 - g), written so that nothing cancels where g is near 1. */
const refined = (f, r) => timescale(f) / (r * (1 - f) + (1 - r) * (1 + f));

/** The exact ends [D / (1 + f), D²] of what r can make of D = 1 / (1 - f). */
const reach = (f) => [timescale(f) / (1 + f), timescale(f) ** 2];

/** ‖∇g‖ by the pre-activations of f and r, P2 Appendix C. */
const gradientNorm = (f, r) =>
  2 * f * (1 - f) * Math.hypot(r + (1 - 2 * r) * f, r * (1 - r));
const slope = (g) => g * (1 - g);

/** The r that makes g of f, or D' of D: where a dragged point wants to be. */
const refineFor = (f, g) => clamp((g - f * f) / (2 * f * (1 - f)), 0, 1);
const refineForPeriod = (D, wanted) => {
  const f = 1 - 1 / D;
  return clamp((1 + f - D / wanted) / (2 * f), 0, 1);
};

export const formulas = {
  band, effective, timescale, refined, reach, gradientNorm, slope, refineFor,
  refineForPeriod,
};

const UNIT = [[0, "0"], [0.5, "½"], [1, "1"]];
const GATES = spaced(0, 1, 120);
const PERIODS = decades(1.001, 1000, 160);
const periodGate = (D) => 1 - 1 / D;

const LEGEND = [
  ["without r: g = f", { class: "thin dashed", d: "M0,0h22" }],
  ["any r, this f", { class: "thin", d: "M11,-5v10m-5,0h10m-10,-10h10" }],
  ["this r, any f", { class: "curve", d: "M0,0h22", ...hue("UR") }],
  ["any r, any f", { class: "area", d: "M0,-5h22v10h-22Z", ...hue("UR") }],
];

function gatePanel(parent, model) {
  const axes = panel(parent, {
    title: "The effective gate g against the forget gate f, inside its band",
    x: { low: 0, high: 1, label: "forget gate f", ticks: UNIT },
    y: { low: 0, high: 1, label: "effective gate g", ticks: UNIT },
  });
  const whole = area(axes, GATES, (f) => band(f)[0], (f) => band(f)[1]);
  axes.add("path", { class: "area", d: whole, ...hue("UR") });
  axes.add("path", { class: "thin dashed", d: line(axes, GATES, (f) => f) });
  legendIn(axes, 48, 34, LEGEND);
  const move = (f, g) => ({ f, r: refineFor(clamp(f, 0.01, 0.999), g) });
  const dot = grip(axes, model, "circle", move);
  return marks(axes, GATES, dot, { curve: effective, place: same, ends: band });
}

function periodPanel(parent, model) {
  const axes = panel(parent, {
    title: "The effective timescale against D, inside its band",
    x: { low: 1, high: 1000, log: true, label: "D = 1/(1 − f), steps",
      ticks: powers(0, 3) },
    y: { low: 0.5, high: 1e6, log: true, label: "1/(1 − g), steps",
      ticks: [[1, "1"], [1e2, "10²"], [1e4, "10⁴"], [1e6, "10⁶"]] },
  });
  const ends = (D) => reach(periodGate(D));
  const whole = area(axes, PERIODS, (D) => ends(D)[0], (D) => ends(D)[1]);
  axes.add("path", { class: "area", d: whole, ...hue("UR") });
  axes.add("path", { class: "thin dashed", d: line(axes, PERIODS, (D) => D) });
  axes.add("path", { class: "thin dotted", d: line(axes, PERIODS, (D) => D / 2) });
  const name = (words, D, value, off) =>
    axes.add("text", { class: "note end", x: axes.x(D), y: axes.y(value) + off }, words);
  name("most, D²", 60, 60 ** 2, -4);
  name("D/2", 900, 450, 20);
  const move = (D, wanted) => {
    const inside = clamp(D, 1.02, 1000);
    return { f: periodGate(inside), r: refineForPeriod(inside, wanted) };
  };
  const dot = grip(axes, model, "circle", move);
  const curve = (D, r) => refined(periodGate(D), r);
  return marks(axes, PERIODS, dot, { curve, place: timescale, ends: reach });
}

/** The curve of the current r, the range at the current f, and the point. */
function marks(axes, xs, halo, { curve, place, ends }) {
  const path = axes.add("path", { class: "curve", ...hue("UR") });
  const range = axes.add("path", { class: "thin" });
  const dot = axes.add("circle", { class: "dot", r: 5, ...hue("UR") });
  return (f, r) => {
    set(path, { d: trace(axes, xs, (x) => curve(x, r)) });
    const x = axes.x(place(f));
    const [low, high] = ends(f).map(axes.y);
    set(range, { d: `M${x},${low}V${high}M${x - 5},${low}h10M${x - 5},${high}h10` });
    [dot, halo].forEach((one) => set(one, { cx: x, cy: axes.y(curve(place(f), r)) }));
  };
}

function build(parent, model) {
  const panels = [gatePanel(parent, model), periodPanel(parent, model)];
  const tell = readout(parent, [
    "gate, f becomes g", "timescale, D becomes",
    "g with r from 0 to 1", "timescale with r from 0 to 1",
    "gradient with this r", "P2's bounds, D/2 and D²",
    "gradient of a plain gate, g(1 − g)", "gradient with r, over plain",
  ]);
  return ({ f, r }) => {
    panels.forEach((draw) => draw(f, r));
    const g = effective(f, r);
    const drawn = {
      g, band: band(f), period: timescale(f), refined: refined(f, r), reach: reach(f),
      gradient: gradientNorm(f, r), slope: slope(g), ratio: gradientNorm(f, r) / slope(g),
    };
    tell(texts(f, drawn));
    return { ...drawn, words: sentence(drawn) };
  };
}

function texts(f, drawn) {
  const { g, period, gradient, slope: plain, ratio } = drawn;
  // Gates need more digits than periods: they differ where they are near 1.
  const range = (ends, digits) => ends.map((v) => number(v, digits)).join(" … ");
  return [
    `${number(f, 4)} → ${number(g, 6)}`,
    `${number(period)} → ${number(drawn.refined)} steps`,
    range(drawn.band, 6), range(drawn.reach, 4), number(gradient),
    range([period / 2, period ** 2], 4), number(plain), `${number(ratio)}×`,
  ];
}

function sentence({ period, refined: D, ratio }) {
  return (
    `The refine gate turns a timescale of ${number(period)} steps into ${number(D)}. ` +
    `Its gradient has ${number(ratio)} times the size of that of a plain gate of the ` +
    "same value g."
  );
}

export default widget({
  name: "RefineBand",
  title: "The refine gate's band",
  task: "find an r at which the gradient is more than twice that of a plain gate of " +
    "the same value. (The theorem on this page says that you cannot.)",
  sliders: [
    { name: "f", words: "forget gate", symbol: "f", text: (v) => number(v, 4) },
    { name: "r", words: "refine gate", symbol: "r", text: (v) => fixed(v, 2) },
  ],
  build,
});
