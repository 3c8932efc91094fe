// What low rank costs three trained language models; the figures are of stored runs.

const RANKS = [4, 7, 14, 32, 128];

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** The median over the seeds of how much the perplexity rises over the uncut model. */
const rise = (cut, whole) => median(cut.map((value, seed) => value / whole[seed] - 1));

/** How many times fewer numbers two factors of rank r hold than a matrix of H by H. */
const fewer = (rank, units) => Math.max(1, units / (2 * rank));

/** The place, from 1, of the stored rank next to one on a logarithmic axis. */
function placeOf(rank) {
  const off = RANKS.map((r) => Math.abs(Math.log(r / rank)));
  return off.indexOf(Math.min(...off)) + 1;
}

export const formulas = { median, rise, placeOf, ranks: () => RANKS };

const METHODS = [
  { method: "LSTM0", words: "LSTM0, the baseline", dash: "none" },
  { method: "sharpened", words: "sharpened", dash: "4 3" },
  { method: "G2", words: "G²", dash: "none" },
];
const name = (rank) => (rank === 128 ? "uncut" : String(rank));

function costPanel(parent, model) {
  const axes = panel(parent, {
    title: "Perplexity of the test text against the rank, for three methods",
    height: 240,
    x: { low: 3.4, high: 150, log: true, label: "rank of the gates' matrices",
      ticks: RANKS.map((rank) => [rank, name(rank)]) },
    y: { low: 140, high: 240, label: "perplexity, each seed and the median",
      ticks: [150, 175, 200, 225].map((v) => [v, String(v)]) },
  });
  const costs = model.get("_costs");
  METHODS.forEach(({ method, dash }) => {
    const runs = costs[method][0].map((_, seed) => costs[method].map((one) => one[seed]));
    const path = (values) => trace(axes, RANKS, (_, k) => values[k]);
    runs.forEach((run) =>
      axes.add("path", { class: "curve fine faint", d: path(run), ...hue(method) }));
    const middle = { class: "curve", d: path(costs[method].map(median)), ...hue(method) };
    axes.add("path", { ...middle, "stroke-dasharray": dash });
  });
  const halo = grip(axes, model, "path", (rank) => ({ place: placeOf(rank) }));
  const rule = axes.add("path", { class: "thin" });
  const dots = METHODS.map(({ method }) =>
    axes.add("circle", { class: "dot", r: 4, ...hue(method) }));
  return (place, perplexities) => {
    const cx = axes.x(RANKS[place - 1]);
    const d = `M${cx},${axes.box.bottom}V${axes.box.top}`;
    [halo, rule].forEach((one) => set(one, { d }));
    dots.forEach((dot, k) => set(dot, { cx, cy: axes.y(perplexities[k]) }));
  };
}

function risePanel(parent) {
  const axes = panel(parent, {
    title: "How much the perplexity rises at the chosen rank, for three methods",
    height: 240,
    x: { low: 0, high: 0.43, label: "rise over the uncut model",
      ticks: [0, 0.1, 0.2, 0.3, 0.4].map((v) => [v, percent(v)]) },
  });
  const rows = METHODS.map(({ method, words, dash }, k) => {
    const y = 24 + 60 * k;
    const { left, right } = axes.box;
    const sample = { class: "curve", d: `M${left},${y - 4}h26`, ...hue(method) };
    axes.add("path", { ...sample, "stroke-dasharray": dash });
    axes.add("text", { class: "label start", x: left + 34, y }, words);
    const text = axes.add("text", { class: "label end", x: right, y });
    const bar = { class: "bar strong", x: left, y: y + 8, height: 14 };
    return { text, bar: axes.add("rect", { ...bar, ...hue(method) }) };
  });
  return (rises, perplexities) => rows.forEach(({ text, bar }, k) => {
    say(text, `${fixed(perplexities[k], 1)}, +${fixed(100 * rises[k], 1)}\u00a0%`);
    set(bar, { width: axes.x(rises[k]) - axes.x(0) });
  });
}

function build(parent, model) {
  const cost = costPanel(parent, model);
  const rising = risePanel(parent);
  return ({ place }) => {
    const costs = METHODS.map(({ method }) => model.get("_costs")[method]);
    const perplexities = costs.map((all) => median(all[place - 1]));
    const rises = costs.map((all) => rise(all[place - 1], all[RANKS.length - 1]));
    cost(place, perplexities);
    rising(rises, perplexities);
    return { perplexities, rises, words: sentence(RANKS[place - 1], rises) };
  };
}

function sentence(rank, rises) {
  if (rank === 128) return "The gates are as they were trained.";
  const parts = METHODS.map(({ words }, k) => `${words} ${fixed(100 * rises[k], 1)}\u00a0%`);
  return (
    `At rank ${rank} a square matrix of the gates has ${number(fewer(rank, 128))} times ` +
    `fewer numbers. The perplexity rises: ${parts.join("; ")}.`
  );
}

const ranked = (place) => name(RANKS[place - 1]);

export default widget({
  name: "RankCost",
  title: "What low rank costs",
  task: "find the largest rank at which G² has a lower perplexity than the baseline, " +
    "though it begins with a higher one.",
  sliders: [{ name: "place", words: "rank", symbol: "r", text: ranked, tick: ranked }],
  build,
});
