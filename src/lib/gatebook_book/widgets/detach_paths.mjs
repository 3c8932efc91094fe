// Gradient paths from c_0 to c_T that h-detach leaves (P3).

/** Steps t = 2 .. T at which the edges out of h_(t-1) are cut: u_t < p. */
const cuts = (draws, steps, p) =>
  draws.slice(0, steps - 1).flatMap((u, k) => (u < p ? [k + 2] : []));

/** Each h_(t-1) that is not cut doubles the paths. */
const survivors = (draws, steps, p) =>
  2 ** (steps - 1 - cuts(draws, steps, p).length);

const expectedPaths = (steps, p) => (2 - p) ** (steps - 1);

/** Share of the expected paths with m visits to h: a binomial law, m = 0 .. T - 1. */
function visitLaw(steps, p) {
  const trials = steps - 1;
  const law = [(1 / (2 - p)) ** trials];
  for (let m = 1; m <= trials; m += 1) {
    law.push((law[m - 1] * (1 - p) * (trials - m + 1)) / m);
  }
  return law;
}

export const formulas = { cuts, survivors, expectedPaths, visitLaw, uniforms };

const MOST = 32;
const [WIDTH, C, H] = [340, 20, 62];

/** The two rails. Each kind of edge is one path, however many steps there are. */
function railsPanel(parent) {
  const frame = svg("svg", {
    viewBox: `0 0 ${WIDTH} 98`, role: "img", class: "panel wide",
  }, parent);
  const title = "Time steps as a graph: the states c above, h below; cut edges are faint";
  svg("title", {}, frame, title);
  svg("text", { class: "label start", x: 2, y: C + 4 }, frame, "c");
  svg("text", { class: "label start", x: 2, y: H + 4 }, frame, "h");
  const part = (name, method) =>
    svg("path", { class: name, ...(method ? hue(method) : {}) }, frame);
  const made = {
    dead: part("thin faint"), linear: part("curve", "LSTM"),
    live: part("curve fine", "h-detach"), cross: part("curve", "UR"),
    upper: part("nodes", "LSTM"), lower: part("nodes", "h-detach"),
    gone: part("nodes faint"),
  };
  const ends = [0, 1].map(() => svg("text", { class: "tick", y: 92 }, frame, ""));
  return (steps, cut) => {
    const at = scale({ low: 0, high: steps }, 24, WIDTH - 10);
    const paths = rails(at, steps, new Set(cut));
    for (const name in paths) set(made[name], { d: paths[name] });
    [0, steps].forEach((t, k) => {
      set(ends[k], { x: at(t), class: k ? "tick end" : "tick start" });
      say(ends[k], k ? `t = T = ${steps}` : "t = 0");
    });
  };
}

/** The paths of edges and nodes; `cut` holds the steps t that h_(t-1) cannot enter. */
function rails(at, steps, cut) {
  const d = { dead: "", linear: "", live: "", cross: "", upper: "", lower: "", gone: "" };
  const edge = (kind, t, from, to) => {
    d[kind] += `M${at(t - 1).toFixed(1)},${from}L${at(t).toFixed(1)},${to}`;
  };
  const node = (kind, t, y) => { d[kind] += `M${at(t).toFixed(1)},${y}h0`; };
  node("upper", 0, C);
  for (let t = 1; t <= steps; t += 1) {
    const into = cut.has(t + 1) ? "dead" : "live"; // nothing leads out of this h_t
    edge("linear", t, C, C);
    node("upper", t, C);
    if (t < steps) {
      edge(into, t, C, H);
      node(cut.has(t + 1) ? "gone" : "lower", t, H);
    }
    if (t === 1) continue;
    const out = cut.has(t) ? "dead" : "live";
    edge(out, t, H, C);
    if (t < steps) edge(out === "live" ? into : "dead", t, H, H);
    if (cut.has(t)) d.cross += mark(at(t - 1));
  }
  return d;
}

const mark = (x) => `M${x - 2.5},${H + 9.5}l5,5m-5,0l5,-5`;

function lawPanel(parent) {
  const axes = panel(parent, {
    title: "Share of the paths by the number of visits to h, and without detaching",
    height: 200,
    x: { low: 0, high: 1, label: "visits to h, m", ticks: [] },
    y: { low: 0, high: 1, label: "share of the expected paths",
      ticks: [[0, "0"], [0.5, ""], [1, ""]] },
  });
  const ticks = spaced(0, 4, 4).map(() =>
    axes.add("text", { class: "tick", y: axes.box.bottom + 16 }, ""));
  const pick = (name, method) => spaced(0, MOST - 1, MOST - 1).map(() =>
    axes.add("rect", { class: name, ...hue(method) }));
  const kinds = [pick("bar plain", "LSTM0"), pick("bar strong", "h-detach")];
  return (steps, laws) => {
    const x = scale({ low: -0.5, high: steps - 0.5 }, axes.box.left, axes.box.right);
    const largest = Math.max(...laws.flat());
    const top = [0.2, 0.5, 1].find((end) => end >= largest - 1e-12);
    const y = scale({ low: 0, high: top }, axes.box.bottom, axes.box.top);
    kinds.forEach((bars, kind) => bars.forEach((bar, m) => {
      const height = axes.box.bottom - y(laws[kind][m] ?? 0);
      const width = (x(1) - x(0)) * (kind ? 0.5 : 0.9);
      set(bar, { x: x(m) - width / 2, y: axes.box.bottom - height, width, height });
    }));
    [1, 2].forEach((k) => say(axes.yTexts[k], number((top * k) / 2)));
    const apart = Math.ceil((steps - 1) / 4);
    ticks.forEach((tick, k) => {
      set(tick, { x: x(k * apart) });
      say(tick, k * apart < steps ? String(k * apart) : "");
    });
  };
}

function build(parent, model) {
  const graph = railsPanel(parent);
  const law = lawPanel(parent);
  const tell = readout(parent, [
    "paths without detaching", "paths left in this draw", "paths left, expected",
    "visits to h, mean", "visits at p = 0, mean",
  ]);
  return ({ p, steps }) => {
    const draws = uniforms(model.get("seed"), steps - 1);
    const cut = cuts(draws, steps, p);
    const drawn = {
      cut, survivors: survivors(draws, steps, p), expected: expectedPaths(steps, p),
      law: visitLaw(steps, p),
    };
    graph(steps, cut);
    law(steps, [visitLaw(steps, 0), drawn.law]);
    tell(texts(steps, p, drawn));
    return { ...drawn, words: sentence(steps, drawn) };
  };
}

function texts(steps, p, { cut, survivors: left, expected }) {
  const power = (k) => `2${raised(k)} = `;
  return [
    power(steps - 1) + count(2 ** (steps - 1)),
    power(steps - 1 - cut.length) + count(left),
    number(expected, 4),
    number(((steps - 1) * (1 - p)) / (2 - p)), number((steps - 1) / 2),
  ];
}

function sentence(steps, { cut, survivors: left, expected }) {
  return (
    `This draw cuts ${cut.length} of ${steps - 1} hidden states and leaves ` +
    `${count(left)} ${left === 1 ? "path" : "paths"}; expected: ${number(expected, 4)}.`
  );
}

export default widget({
  name: "DetachPaths",
  title: "Gradient paths under h-detach",
  task: "at T = 20, find the least p that leaves fewer than 1,000 of the half a million " +
    "paths, on average. (p = 0.5 is not enough.)",
  sliders: [
    { name: "p", words: "detaching", symbol: "p", text: (v) => fixed(v, 2) },
    { name: "steps", words: "time steps", symbol: "T", text: (v) => `${v} steps` },
  ],
  actions: [redraw],
  build,
});
