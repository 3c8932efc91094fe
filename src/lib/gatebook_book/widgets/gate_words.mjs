// Gates over the words of a sentence, of two trained models side by side.

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Gates from their text, one letter a value. */
const unpacked = (text) => [...text].map((c) => DIGITS.indexOf(c) / 63);

/** Means over the pieces of each word; step t has read piece t - 1 and predicts t. */
function overWords(steps, wordOf, word) {
  const first = word === 1 ? 1 : 0;
  const sums = [];
  const counts = [];
  wordOf.forEach((w, k) => {
    sums[w] = (sums[w] ?? 0) + steps[first + k];
    counts[w] = (counts[w] ?? 0) + 1;
  });
  return sums.map((sum, w) => sum / counts[w]);
}

/** P(value at a marked word < value at another), ties 1/2; NaN without both kinds. */
function auc(values, marked) {
  const of = (kind) => values.filter((_, k) => marked[k] === kind);
  const pairs = of(true).flatMap((a) =>
    of(false).map((b) => (a < b ? 1 : a === b ? 0.5 : 0)));
  return pairs.reduce((sum, v) => sum + v, 0) / pairs.length;
}

/** Places of the values, the smallest first; equal ones keep their order. */
const ascending = (values) =>
  values.map((_, k) => k).sort((a, b) => values[a] - values[b] || a - b);

export const formulas = { unpacked, overWords, auc, ascending };

const BOUNDARY = ["mark", "coordinator", "subordinator"];
const MODELS = ["LSTM0", "G2"];
const HUES = [hue("LSTM0"), hue("G2")];

/** One model's gates at the steps of a sentence. */
function stepsOf(sentence, model, { layer, gate, unit }) {
  const stored = sentence.gates[model][`${gate === 1 ? "forget" : "input"} ${layer}`];
  if (unit === 0) return unpacked(stored.mean);
  const length = stored.mean.length;
  return unpacked(stored.units.slice((unit - 1) * length, unit * length));
}

function build(parent) {
  const source = html("p", { class: "source", lang: "de" }, parent, "");
  const list = html("div", { class: "gate-words", role: "table" }, parent);
  const head = html("div", { role: "row" }, list);
  ["word", ...MODELS].forEach((name) => html("b", { role: "columnheader" }, head, name));
  const rows = Array.from({ length: STORED.longest }, () => row(list));
  return (values) => {
    const sentence = STORED.sentences[values.sentence - 1];
    say(source, sentence.source);
    const gates = MODELS.map((name) =>
      overWords(stepsOf(sentence, name, values), sentence.word_of, values.word));
    const places = values.order === 1 ? gates[1].map((_, k) => k) : ascending(gates[1]);
    rows.forEach((fill, k) => fill(sentence, gates, places[k]));
    return { ...told(sentence, gates), order: places };
  };
}

function row(list) {
  const own = html("div", { role: "row" }, list);
  const name = html("span", { role: "rowheader" }, own, "");
  const bars = HUES.map((colour) => {
    const cell = html("span", { role: "cell", class: "gate-bar" }, own);
    const bar = html("span", { class: "gate-fill", ...colour }, cell);
    return { bar, text: html("span", { class: "gate-value" }, cell, "") };
  });
  return (sentence, gates, place) => {
    own.hidden = place === undefined;
    if (own.hidden) return;
    say(name, sentence.words[place]);
    name.className = BOUNDARY.includes(sentence.classes[place]) ? "boundary" : "";
    bars.forEach(({ bar, text }, k) => {
      bar.style.width = `${(100 * gates[k][place]).toFixed(1)}%`;
      say(text, fixed(gates[k][place], 2));
    });
  };
}

/** What the picture shows: gates, and the AUC where it counts on the page. */
function told(sentence, gates) {
  const counted = sentence.classes.map((c, k) => k > 0 && c !== "final mark");
  const kept = (values) => values.filter((_, k) => counted[k]);
  const marked = kept(sentence.classes).map((c) => BOUNDARY.includes(c));
  const found = gates.map((values) => auc(kept(values), marked));
  const words = found.some(Number.isNaN)
    ? "This verse has no boundary within."
    : `Smaller at a boundary than elsewhere in this verse, as a share of pairs of ` +
      `words: ${MODELS.map((m, k) => `${m} ${fixed(found[k], 2)}`).join(", ")}.`;
  return { gates, auc: found, words };
}

/** How one of two is said. */
function either(...names) {
  const text = (v) => names[v - 1];
  return { text, tick: text };
}

export default widget({
  name: "GateWords",
  title: "Gates over the words of a verse",
  task: "find the one verse in which neither mean forget gate of layer 1 is smaller at " +
    "boundaries, by the word read: both shares below are a half or less.",
  sliders: [
    { name: "sentence", words: "verse", symbol: "", text: count },
    { name: "unit", words: "unit", symbol: "",
      text: (v) => (v === 0 ? "mean" : `no. ${v}`), tick: (v) => v || "mean" },
    { name: "layer", words: "layer", symbol: "", text: count },
    { name: "gate", words: "gate", symbol: "", ...either("forget", "input") },
    { name: "word", words: "word", symbol: "", ...either("read", "predicted") },
    { name: "order", words: "order", symbol: "", ...either("verse", "by gate") },
  ],
  build,
});
