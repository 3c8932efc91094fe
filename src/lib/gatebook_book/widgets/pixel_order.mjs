// A digit read pixel by pixel: in rows, by bit reversal, and in an order drawn once.

const SIDE = 28;
const COUNT = SIDE * SIDE;
const QUARTER = COUNT / 4;
const LEVELS = [1, 2, 3]; // shades with ink

/** Numbers below n in the order of their bits read backwards (P2 D.5). */
function bitReversal(n) {
  const bits = Math.ceil(Math.log2(n));
  const backwards = (k) => {
    let found = 0;
    for (let bit = 0; bit < bits; bit += 1) found |= ((k >> bit) & 1) << (bits - 1 - bit);
    return found;
  };
  return Array.from({ length: 2 ** bits }, (_, k) => backwards(k)).filter((k) => k < n);
}

/** Numbers below n in an order that a seed decides. */
function permutation(n, seed) {
  const draws = uniforms(seed, n);
  return draws.map((_, k) => k).sort((a, b) => draws[a] - draws[b]);
}

/** Shades from their text: a letter is two pixels. */
const unpacked = (text) =>
  [...text].map((c) => parseInt(c, 16)).flatMap((two) => [two >> 2, two & 3]);

/** The share of an image's ink that the last quarter of the steps so far has read. */
function inkRead(image, order, step) {
  const ink = (places) => places.reduce((sum, place) => sum + image[place], 0);
  return ink(order.slice(Math.max(0, step - QUARTER), step)) / Math.max(1, ink(order));
}

/** The pixels that a pen of two pixels touches at a place. */
function touched(x, y) {
  const [column, row] = [Math.round(x), Math.round(y)];
  return [[column - 1, row - 1], [column, row - 1], [column - 1, row], [column, row]]
    .filter((place) => place.every((v) => v >= 0 && v < SIDE))
    .map(([c, r]) => SIDE * r + c);
}

export const formulas = { bitReversal, permutation, unpacked, inkRead, touched };

const rows = Array.from({ length: COUNT }, (_, k) => k);
const ORDERS = ["in rows", "bit reversal", "drawn once"];

/** The path of some pixels. */
const squares = (places) =>
  places.map((k) => `M${k % SIDE},${Math.floor(k / SIDE)}h1v1h-1Z`).join("");

function sheet(parent, words, title) {
  const tile = html("div", { class: "tile" }, parent);
  html("span", {}, tile, words);
  const view = { viewBox: `-0.5 -0.5 ${SIDE + 1} ${SIDE + 1}`, role: "img", class: "pixels" };
  const frame = svg("svg", view, tile);
  svg("title", {}, frame, title);
  const edge = { x: -0.25, y: -0.25, width: SIDE + 0.5, height: SIDE + 0.5 };
  svg("rect", { class: "edge", ...edge }, frame);
  return { tile, frame };
}

/** Paths for each shade, whose pixels are set later. */
const shades = (frame, name) =>
  LEVELS.map((level) => svg("path", { class: name, "fill-opacity": level / 3 }, frame));

const fill = (paths, image, places) => paths.forEach((path, k) =>
  set(path, { d: squares(places.filter((place) => image[place] === LEVELS[k])) }));

function digitSheet(parent, model) {
  const { frame } = sheet(parent, "the digit; draw here", "The digit, to draw in");
  const paths = shades(frame, "ink");
  pen(frame, model);
  return (image) => fill(paths, image, rows);
}

/** Lets a pointer draw into the digit. */
function pen(frame, model) {
  const follow = ({ clientX, clientY }) => {
    const toFrame = frame.getScreenCTM().inverse();
    const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(toFrame);
    model.set("_ink", [...new Set([...model.get("_ink"), ...touched(x, y)])]);
    model.save_changes();
  };
  frame.classList.add("pen");
  frame.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    frame.setPointerCapture(event.pointerId);
    follow(event);
  });
  frame.addEventListener("pointermove", (event) => {
    if (frame.hasPointerCapture(event.pointerId)) follow(event);
  });
}

function orderSheet(parent, words) {
  const title = `What has been read, ${words}: the last quarter of the steps in full ink`;
  const { tile, frame } = sheet(parent, words, title);
  const seen = svg("path", { class: "window", ...hue("LSTM") }, frame);
  const [pale, dark] = [shades(frame, "ink pale"), shades(frame, "ink")];
  const told = html("span", {}, tile, "");
  return (image, order, step) => {
    const from = Math.max(0, step - QUARTER);
    const last = order.slice(from, step);
    set(seen, { d: squares(last) });
    fill(pale, image, order.slice(0, from));
    fill(dark, image, last);
    const share = inkRead(image, order, step);
    say(told, `${fixed(100 * share, 0)}\u00a0% of the ink`);
    return share;
  };
}

/** The digit's shades, with what the reader has drawn into it. */
function imageOf(model, digit) {
  const text = model.get("_digits")[digit];
  const image = text ? unpacked(text) : new Array(COUNT).fill(0);
  model.get("_ink").forEach((place) => { image[place] = LEVELS.length; });
  return image;
}

function build(parent, model) {
  const digitOf = digitSheet(parent, model);
  const sheets = ORDERS.map((words) => orderSheet(parent, words));
  const reversed = bitReversal(COUNT);
  return ({ digit, step }) => {
    const orders = [rows, reversed, permutation(COUNT, model.get("seed"))];
    const image = imageOf(model, digit);
    digitOf(image);
    const shares = sheets.map((draw, k) => draw(image, orders[k], step));
    return { shares, words: sentence(step, shares) };
  };
}

function sentence(step, shares) {
  const parts = ORDERS.map((words, k) => `${words} ${fixed(100 * shares[k], 0)}\u00a0%`);
  const steps = Math.min(step, QUARTER);
  return (
    `The last ${steps} of ${step} steps have read of the digit's ink: ${parts.join(", ")}.`
  );
}

const named = (digit) => (digit === 10 ? "blank" : String(digit));

export default widget({
  name: "PixelOrder",
  title: "A digit read in three orders",
  task: "find the one digit of which the last quarter of all steps reads more in rows " +
    "than by bit reversal. What must be drawn for that?",
  sliders: [
    { name: "digit", words: "digit", symbol: "", text: named, tick: named },
    { name: "step", words: "pixels read", symbol: "", text: (v) => `${v} of ${COUNT}` },
  ],
  actions: [redraw, ["Blank sheet", () => ({ digit: 10, _ink: [] })]],
  build,
});
