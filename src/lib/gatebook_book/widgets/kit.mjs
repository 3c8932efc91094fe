// What all widgets share. Python joins this file with a widget's own module, so that
// what a page or JupyterLab gets stands alone and asks for no second file.

// --- numbers -------------------------------------------------------------------

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const logit = (g) => Math.log(g) - Math.log1p(-g);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

const FORMATS = new Map();

/** A number with some significant digits: 12,300; 0.0452; 3.1 × 10⁻⁵. */
function number(value, digits = 3) {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e7 || size < 1e-3)) {
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
    return minus(`${Number(mantissa)} × 10${raised(Number(exponent))}`);
  }
  if (!FORMATS.has(digits)) {
    const options = { maximumSignificantDigits: digits };
    FORMATS.set(digits, new Intl.NumberFormat("en-GB", options));
  }
  return minus(FORMATS.get(digits).format(value));
}

/** Counts are written in full as long as that is readable. */
const count = (value) => number(value, value < 1e7 ? 7 : 3);
const fixed = (value, digits) => minus(value.toFixed(digits));
const percent = (share) => `${number(100 * share)}\u00a0%`;
const minus = (text) => text.replace("-", "−");
const raised = (exponent) =>
  String(exponent).replace(/./g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);

/** Values from low to high, equally spaced, or by equal factors. */
const spaced = (low, high, parts) =>
  Array.from({ length: parts + 1 }, (_, k) => low + ((high - low) * k) / parts);
const decades = (low, high, parts) =>
  spaced(Math.log10(low), Math.log10(high), parts).map((x) => 10 ** x);

/** Uniform numbers in (0, 1) that a seed decides, as `uniforms` in base.py. */
function uniforms(seed, size) {
  const start = mixed(seed + 1);
  const draw = (_, k) => (mixed(start + Math.imul(0x9e3779b9, k + 1)) + 0.5) / 2 ** 32;
  return Array.from({ length: size }, draw);
}

/** 32 bits, each of which depends on all: the end of MurmurHash3 (A. Appleby). */
function mixed(value) {
  let bits = value >>> 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

// --- elements ------------------------------------------------------------------

function html(tag, attributes, parent, text) {
  const made = document.createElement(tag);
  return furnish(made, attributes, parent, text);
}

function svg(tag, attributes, parent, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  return furnish(made, attributes, parent, text);
}

function furnish(made, attributes, parent, text) {
  set(made, attributes);
  if (text !== undefined) made.append(text); // a node even if there is no text yet
  parent?.append(made);
  return made;
}

function set(made, attributes) {
  for (const name in attributes) made.setAttribute(name, attributes[name]);
}

/** Change a text without replacing its node. */
function say(made, text) {
  if (made.firstChild) made.firstChild.data = text;
  else made.append(text);
}

/** The attribute that gives an element the colour of a method of the book. */
const hue = (method) => ({ style: `--hue: var(--gatebook-${method})` });

// --- panels --------------------------------------------------------------------

const EDGES = { left: 40, right: 12, top: 26, bottom: 24, label: 16 };

/** A position for a value; log10 of it on a logarithmic axis. `inverse` goes back. */
function scale({ low, high, log = false }, from, to) {
  const on = log ? (v) => Math.log10(Math.max(v, 1e-300)) : same;
  const start = on(low);
  const size = on(high) - start;
  const place = (value) => from + ((on(value) - start) / size) * (to - from);
  place.inverse = (at) => {
    const value = start + ((at - from) / (to - from)) * size;
    return log ? 10 ** value : value;
  };
  return place;
}

/**
 * Axes with ticks, to draw in. About 340 wide, so that a label keeps its size on a
 * phone, where panels stand below each other, and on a wide page, side by side.
 *
 * An axis is {low, high, log, label, ticks: [[value, text], ...]}.
 */
function panel(parent, { title, x, y, width = 340, height = 220, wide = false }) {
  const box = {
    left: EDGES.left,
    right: width - EDGES.right,
    top: y ? EDGES.top : 8,
    bottom: height - EDGES.bottom - (x.label ? EDGES.label : 0),
  };
  const frame = svg("svg", {
    viewBox: `0 0 ${width} ${height}`, role: "img", class: wide ? "panel wide" : "panel",
  }, parent);
  svg("title", {}, frame, title);
  const made = { frame, box, x: scale(x, box.left, box.right) };
  horizontalAxis(made, x, height);
  if (y) {
    made.y = scale(y, box.bottom, box.top);
    made.yTexts = verticalAxis(made, y);
  }
  made.add = (tag, attributes, text) => svg(tag, attributes, frame, text);
  return made;
}

function horizontalAxis({ frame, box, x }, { ticks, label }, height) {
  const { left, right, bottom } = box;
  svg("path", { class: "axis", d: `M${left},${bottom}H${right}` }, frame);
  svg("text", { class: "label", x: (left + right) / 2, y: height - 6 }, frame, label);
  ticks.forEach(([value, text]) => {
    svg("path", { class: "axis", d: `M${x(value)},${bottom}v4` }, frame);
    svg("text", { class: "tick", x: x(value), y: bottom + 16 }, frame, text);
  });
}

function verticalAxis({ frame, box, y }, { ticks, label }) {
  const { left, top, bottom } = box;
  svg("path", { class: "axis", d: `M${left},${top}V${bottom}` }, frame);
  svg("text", { class: "label start", x: 2, y: 13 }, frame, label);
  return ticks.map(([value, text]) => {
    svg("path", { class: "axis", d: `M${left},${y(value)}h-4` }, frame);
    const place = { class: "tick end", x: left - 7, y: y(value) + 4 };
    return svg("text", place, frame, text);
  });
}

/** Ticks at powers of ten. */
const powers = (from, to) =>
  spaced(from, to, to - from).map((k) => [10 ** k, k === 0 ? "1" : `10${raised(k)}`]);

/** The path of a curve; what leaves the axes at top or bottom is cut off. */
function trace({ x, y, box }, xs, curve) {
  let path = "";
  let before = 0;
  xs.forEach((value, k) => {
    const at = y(curve(value, k));
    const outside = at < box.top ? -1 : at > box.bottom ? 1 : 0;
    const move = k === 0 || (outside && outside === before);
    const shown = clamp(at, box.top, box.bottom);
    path += `${move ? "M" : "L"}${x(value).toFixed(1)},${shown.toFixed(1)}`;
    before = outside;
  });
  return path;
}

/** The path of an area between two curves. */
function area(axes, xs, lower, upper) {
  const back = [...xs].reverse();
  return `${line(axes, xs, upper)}${line(axes, back, lower).replace("M", "L")}Z`;
}

function line({ x, y, box }, xs, curve) {
  const points = xs.map((value) => {
    const at = clamp(y(curve(value)), box.top, box.bottom);
    return `${x(value).toFixed(1)},${at.toFixed(1)}`;
  });
  return `M${points.join("L")}`;
}

/** What is drawn how: rows of [words, attributes of a path of 22 by 10 at 0, 0]. */
function legendIn(axes, x, y, rows) {
  rows.forEach(([words, attributes], k) => {
    const row = axes.add("g", { transform: `translate(${x},${y + 15 * k})` });
    svg("path", attributes, row);
    svg("text", { class: "start", x: 28, y: 4 }, row, words);
  });
}

/**
 * A part of a picture that a pointer can take: a halo, whose attributes the caller sets.
 *
 * `move(x, y)` gives the traits' values at a place of the axes; sliders and keys reach
 * the same ones.
 */
function grip(axes, model, tag, move) {
  const made = axes.add(tag, { class: `grip ${tag}` });
  const follow = ({ clientX, clientY }) => {
    const toFrame = axes.frame.getScreenCTM().inverse();
    const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(toFrame);
    const wanted = move(axes.x.inverse(x), axes.y.inverse(y));
    const ranges = model.get("_ranges");
    const near = ([name, value]) => [name, positions(ranges[name]).nearest(value)];
    model.set(Object.fromEntries(Object.entries(wanted).map(near)));
    model.save_changes();
  };
  made.addEventListener("pointerdown", (event) => {
    event.preventDefault(); // no text is selected on the way
    made.setPointerCapture(event.pointerId);
  });
  made.addEventListener("pointermove", (event) => {
    if (made.hasPointerCapture(event.pointerId)) follow(event);
  });
  return made;
}

/** Names with numbers below a picture. Gives the function that sets the numbers. */
function readout(parent, names) {
  const list = html("dl", { class: "readout" }, parent);
  const places = names.map((name) => {
    const row = html("div", {}, list);
    html("dt", {}, row, name);
    return html("dd", {}, row, "");
  });
  return (texts) => texts.forEach((text, k) => say(places[k], text));
}

// --- sliders -------------------------------------------------------------------

const same = (v) => v;
const SCALES = {
  linear: { to: same, from: same },
  log: { to: Math.log, from: Math.exp },
  logit: { to: logit, from: sigmoid },
};
const NOTCHES = 400;
const most = (v) => number(v, 4);
const FEW = 5; // so many steps are all written below the track

/** Turns slider positions into values and back; range comes from the Python class. */
function positions(range) {
  const ends = range.scale === "linear" ? evenly(range) : warped(range);
  const nearest = (v) => ends.value(ends.position(ends.clean(v)));
  return { ...ends, nearest };
}

function evenly({ low, high, step, whole }) {
  const clean = (v) => limited(whole ? Math.round(Number(v)) : Number(v), low, high);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const position = (v) => Number((low + step * Math.round((v - low) / step)).toFixed(digits));
  return { min: low, max: high, step, value: clean, position, clean };
}

const limited = (v, low, high) => (Number.isFinite(v) ? clamp(v, low, high) : low);

function warped({ low, high, scale: name, whole }) {
  const { to, from } = SCALES[name];
  const round = (v) => (whole ? Math.round(v) : Number(v.toPrecision(4)));
  const start = to(low);
  const size = to(high) - start;
  return {
    min: 0,
    max: NOTCHES,
    step: 1,
    value: (k) => limited(round(from(start + (size * k) / NOTCHES)), low, high),
    position: (v) => Math.round((NOTCHES * (to(v) - start)) / size),
    clean: (v) => limited(whole ? Math.round(Number(v)) : Number(v), low, high),
  };
}

/** The values that are written below a track: both ends and what lies between. */
function stops({ low, high, scale: name, whole }) {
  const inside = (values) => [low, ...values.filter((v) => low < v && v < high), high];
  if (name === "log") return inside([1, 10, 100, 1000]);
  if (name === "logit") return inside([0.1, 0.5, 0.9, 0.99]);
  const parts = whole && high - low <= FEW ? high - low : 2;
  return spaced(low, high, parts).map((v) => (whole ? Math.round(v) : v));
}

/** Marks below a track, at the places of the thumb's middle. */
function ticks(parent, range, text) {
  const { min, max, position } = positions(range);
  const row = html("div", { class: "ticks", "aria-hidden": "true" }, parent);
  stops(range).forEach((value) => {
    const share = (position(value) - min) / (max - min);
    html("span", { style: `left: ${(100 * share).toFixed(2)}%` }, row, text(value));
  });
}

/**
 * A row with name, slider and value.
 *
 * `part` is {name, symbol, words, text, tick}: the Python trait, the book's letter,
 * what it is, how a value is said, with its unit, and how it is written at the track.
 */
function slider(parent, model, { name, symbol, words, text = number, tick = most }) {
  const range = model.get("_ranges")[name];
  const { min, max, step, ...ends } = positions(range);
  const id = `gatebook-${name}-${Math.random().toString(36).slice(2)}`;
  const short = range.whole && range.high - range.low <= FEW;
  const row = html("div", { class: short ? "slider short" : "slider" }, parent);
  const label = html("label", { for: id }, row, `${words} `);
  const [letter, below] = symbol.split("_");
  html("i", {}, label, letter);
  if (below) html("sub", {}, label, below);
  const input = html("input", { type: "range", id, name, min, max, step }, row);
  const shown = html("span", { class: "value", "aria-hidden": "true" }, row, "");
  ticks(row, range, tick);
  const read = () => ends.clean(model.get(name));
  input.addEventListener("input", () => {
    model.set(name, ends.value(Number(input.value)));
    model.save_changes();
  });
  const show = () => {
    const value = read();
    // A whole number has many positions: the hand on the slider keeps its own.
    if (ends.value(Number(input.value)) !== value) input.value = ends.position(value);
    input.setAttribute("aria-valuetext", text(value));
    say(shown, text(value));
  };
  return { name, read, show };
}

// --- boxes to tick -------------------------------------------------------------

/**
 * A box for each of some names; the trait holds the list of those that are ticked.
 *
 * `part` is {name, words, options: [[key, label], ...]}.
 */
function boxes(parent, model, { name, words, options }) {
  const set_ = html("fieldset", { class: "boxes" }, parent);
  html("legend", {}, set_, words);
  const read = () => {
    const given = model.get(name);
    const known = options.map(([key]) => key);
    return known.filter((key) => Array.isArray(given) && given.includes(key));
  };
  const inputs = options.map(([key, label], k) => {
    const id = `gatebook-${name}-${k}-${Math.random().toString(36).slice(2)}`;
    const row = html("span", {}, set_);
    const input = html("input", { type: "checkbox", id, name: key }, row);
    html("label", { for: id }, row, label);
    input.addEventListener("change", () => {
      const others = read().filter((other) => other !== key);
      model.set(name, input.checked ? [...others, key] : others);
      model.save_changes();
    });
    return [key, input];
  });
  const show = () => {
    const chosen = read();
    inputs.forEach(([key, input]) => { input.checked = chosen.includes(key); });
  };
  return { name, read, show };
}

// --- the widget ----------------------------------------------------------------

/** Buttons, as [words, function] each: one that is pressed sets the traits it gives. */
function buttons(parent, model, each) {
  const row = html("div", { class: "buttons" }, parent);
  each.forEach(([words, values]) => {
    html("button", { type: "button" }, row, words).addEventListener("click", () => {
      model.set(values(model));
      model.save_changes();
    });
  });
  return row;
}

const GRIP = "Drag what has a halo in the picture, or move a slider.";
/** The next draw; a seed decides it, so that it can be had again. */
const redraw = ["Redraw", (model) => ({ seed: model.get("seed") + 1 })];
const reset = ["Reset", (model) => model.get("_start")];

/**
 * A widget from its Python class's name, a task for its reader, its sliders and boxes,
 * further buttons, and `build(parent, model)`, which makes the picture once and gives
 * `draw(values)`. That sets attributes and texts only, and gives {words, ...data}: a
 * sentence, and what the picture shows, for tests.
 */
function widget({ name, title, task, sliders, choices = [], actions = [], build }) {
  return {
    render({ model, el }) {
      const root = html("div", { class: "gatebook-widget", "data-widget": name }, el);
      set(root, { role: "group", "aria-label": title });
      const posed = html("p", { class: "task" }, root);
      html("b", {}, posed, "Try: ");
      posed.append(task);
      const rows = html("div", { class: "sliders" }, root);
      const controls = [
        ...sliders.map((part) => slider(rows, model, part)),
        ...choices.map((part) => boxes(root, model, part)),
      ];
      const row = buttons(root, model, [...actions, reset]);
      const draw = build(html("div", { class: "panels" }, root), model);
      if (root.querySelector(".grip")) html("span", {}, row, GRIP);
      const words = html("p", { class: "words", "aria-live": "polite" }, root, "");
      const update = () => {
        controls.forEach((control) => control.show());
        const pairs = controls.map((control) => [control.name, control.read()]);
        const values = Object.fromEntries(pairs);
        const { words: sentence, ...drawn } = draw(values);
        say(words, sentence);
        root.dataset.drawn = JSON.stringify({ values, ...drawn });
      };
      model.on("change", update); // of any trait, once for those set together
      update();
      return () => model.off("change", update);
    },
  };
}

// --- the widget's own part -------------------------------------------------------

