// A recurrent layer and its head, trained without a server. The loop over time and its
// derivative are the library's own: `webassembly.py` compiles the C that
// `gatebook.fused.cpu` makes of a gate. Here are the batches, the head, the loss and
// Adam. Nothing touches a document, so that it runs in a page, a worker, and node.

// --- random numbers --------------------------------------------------------------

/** Uniform numbers in [0, 1): sfc32 of Chris Doty-Humphrey, from a seed and a stream. */
function random(seed, stream) {
  let [a, b, c, d] = [seed | 0, stream | 0, 0x9e3779b9 | 0, 1];
  const next = () => {
    const sum = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let k = 0; k < 16; k += 1) next(); // near seeds are strangers from here on
  return next;
}

const STREAMS = { weights: 0, train: 1, probe: 2, noise: 3, detach: 4 };
const whole = (next, low, high) => low + Math.floor(next() * (high - low));

// --- tasks -------------------------------------------------------------------------

const TOKENS = 10;
const SYMBOLS = 8;
const MARKER = 9;

/**
 * The tasks of `gatebook.tasks`: sizes, sequences x (T, B, I), the loss of a model that
 * knows nothing, and the steps in which a model can do nothing but keep what it has.
 */
const TASKS = {
  copy: {
    inputs: MARKER + 1, outputs: SYMBOLS + 1, reads: TOKENS,
    steps: (delay) => delay + 2 * TOKENS,
    waits: (delay) => [TOKENS, TOKENS + delay],
    baseline: Math.log(SYMBOLS),
    make: copyBatch, loss: crossEntropy,
  },
  adding: {
    inputs: 2, outputs: 1, reads: 1,
    steps: (delay) => delay,
    waits: (delay) => [0, delay],
    baseline: 1 / 6,
    make: addingBatch, loss: squaredError,
  },
};

/** Ten tokens from 1..8, blanks, ten markers, one-hot; the target is the tokens (10, B). */
function copyBatch(next, delay, batch) {
  const steps = delay + 2 * TOKENS;
  const x = new Float32Array(steps * batch * (MARKER + 1));
  const target = new Float32Array(TOKENS * batch);
  for (let row = 0; row < steps * batch; row += 1) {
    let symbol = row < (TOKENS + delay) * batch ? 0 : MARKER;
    if (row < TOKENS * batch) symbol = target[row] = whole(next, 1, SYMBOLS + 1);
    x[row * (MARKER + 1) + symbol] = 1;
  }
  return { x, target };
}

/** Numbers and two marks, one in each half; the target is the marked numbers' sum (1, B). */
function addingBatch(next, steps, batch) {
  const x = new Float32Array(steps * batch * 2);
  const target = new Float32Array(batch);
  for (let k = 0; k < steps * batch; k += 1) x[2 * k] = next();
  const half = Math.floor(steps / 2);
  for (let b = 0; b < batch; b += 1) {
    for (const t of [whole(next, 0, half), whole(next, half, steps)]) {
      x[2 * (t * batch + b) + 1] = 1;
      target[b] += x[2 * (t * batch + b)];
    }
  }
  return { x, target };
}

/** Mean cross-entropy in nats; `y` (rows, K) becomes its gradient. */
function crossEntropy(y, target, classes) {
  let loss = 0;
  const rows = target.length;
  for (let row = 0; row < rows; row += 1) {
    const own = y.subarray(row * classes, (row + 1) * classes);
    const most = own.reduce((a, b) => Math.max(a, b));
    let sum = 0;
    for (let k = 0; k < classes; k += 1) sum += Math.exp(own[k] - most);
    loss += Math.log(sum) + most - own[target[row]];
    for (let k = 0; k < classes; k += 1) {
      own[k] = (Math.exp(own[k] - most) / sum - (k === target[row] ? 1 : 0)) / rows;
    }
  }
  return loss / rows;
}

/** Mean squared error; `y` (rows, 1) becomes its gradient. */
function squaredError(y, target) {
  let loss = 0;
  for (let row = 0; row < target.length; row += 1) {
    const off = y[row] - target[row];
    loss += off * off;
    y[row] = (2 * off) / target.length;
  }
  return loss / target.length;
}

// --- the library's scan ----------------------------------------------------------

/** A compiled kernel from its base64 text, gzip inside. */
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return WebAssembly.compile(await new Response(plain).arrayBuffer());
}

const PAGE = 2 ** 16;

/** The module with a memory of its own; an array that was freed serves again. */
function instance(module) {
  const [sizes, waiting] = [new Map(), new Map()];
  let code = null;
  let top = 0;
  const malloc = (size) => {
    const found = waiting.get(size)?.pop();
    if (found) return found;
    const at = top;
    top += Math.ceil(size / 16) * 16;
    const missing = top - code.memory.buffer.byteLength;
    if (missing > 0) code.memory.grow(Math.ceil(missing / PAGE));
    sizes.set(at, size);
    return at;
  };
  const free = (at) => {
    const size = sizes.get(at);
    waiting.set(size, [...(waiting.get(size) ?? []), at]);
  };
  code = new WebAssembly.Instance(module, { page: { malloc, free } }).exports;
  top = Math.ceil(code.__heap_base.value / 16) * 16;
  return { ...code, malloc };
}

/**
 * One layer over time, for one size of batch: the calls of kernel.c on one thread.
 *
 * `fields` are the names in its `Pass`, in order; each is one word of 32 bits here.
 */
class Scan {
  constructor(module, fields, { T, B, I, H, G, N = 0 }) {
    this.code = instance(module);
    Object.assign(this, { fields, size: { T, B, I, H, G, N } });
    const { code } = this;
    this.lengths = {
      x: T * B * I, w_ih: G * I, w_hh: G * H, b_ih: G, b_hh: G,
      entry: code.entry_size(I, H), p: T * B * G, panels: code.recurrent_size(H),
      back: code.back_size(H), h0: T * B * H, c0: T * B * H, h_n: B * H, c_n: B * H,
      hs: T * B * H, cs: T * B * H, noise: T * B * N, blind_h: T,
      dout: T * B * H, dh: T * B * H, dc: T * B * H, through: B * H,
      scratch: code.scratch_size(H), grad_ih: G * I, grad_hh: G * H,
      pass: fields.length, outer: 10,
    };
    this.at = {};
    for (const name in this.lengths) this.at[name] = code.malloc(4 * this.lengths[name]);
    for (const name of ["h0", "c0"]) this.get(name).fill(0);
  }

  /** An array's numbers; made anew, since memory that grew has left the old view. */
  get(name, Kind = Float32Array) {
    return new Kind(this.code.memory.buffer, this.at[name], this.lengths[name]);
  }

  /** Call `way` with sizes and the named arrays; those not named are null. */
  run(way, names, sizes = {}) {
    const { T, B, I, H } = this.size;
    const given = { T, B, I, H, chunk: Math.max(2, Math.floor(256 / B)), hold: T };
    for (const name of names) given[name] = this.at[name];
    Object.assign(given, { out: this.at.hs, blind_step: 1 }, sizes);
    this.get("pass", Uint32Array).set(this.fields.map((name) => given[name] ?? 0));
    this.code.ready(this.at.pass, 0, 1);
    this.code[way](this.at.pass, 0, 1);
  }

  /** Run over x (T, B, I); `noise` (T, B, N) if the kernel has it. Gives h (T, B, H). */
  forward(weights, x, noise) {
    const given = { x, w_ih: weights.ih, w_hh: weights.hh, b_ih: weights.bias_ih,
      b_hh: weights.bias_hh, ...(noise ? { noise } : {}) };
    for (const name in given) this.get(name).set(given[name]);
    this.run("forward", [...Object.keys(given), ...FORWARD]);
    return this.get("hs");
  }

  /** Gradients from that of the outputs (T, B, H); `detached` (T) is 1 where h is cut. */
  backward(dout, detached) {
    this.get("dout").set(dout);
    for (const name of ["dh", "dc"]) this.get(name).fill(0);
    if (detached) this.get("blind_h", Uint8Array).set(detached);
    const blind = detached ? ["blind_h"] : [];
    this.run("backward", [...BACKWARD, ...blind, "w_hh", "back", "through"]);
    const { T, B, I, H, G } = this.size;
    this.outer("grad_ih", this.at.p, this.at.x, I, T * B);
    // The first step's state is 0 and adds nothing.
    this.outer("grad_hh", this.at.p + 4 * B * G, this.at.hs, H, (T - 1) * B);
    const bias = columnSums(this.get("p"), G);
    return { ih: this.get("grad_ih"), hh: this.get("grad_hh"), bias_ih: bias, bias_hh: bias };
  }

  /** The named gradient (G, columns): the sum over rows of dP' times another array. */
  outer(name, left, right, columns, rows) {
    const { G } = this.size;
    this.get(name).fill(0);
    const words = [left, right, this.at[name], G, columns, columns, G, columns, rows];
    this.get("outer", Uint32Array).set(words);
    this.code.outer(this.at.outer, 0, 1);
  }

  /**
   * The effective forget gates (T, B, H) of the last forward pass.
   *
   * They are dc_t / dc_{t-1} with h held fast, and so what the backward step makes of a
   * gradient of 1, for any gate. All steps are rows of one batch for this.
   */
  forget() {
    const { T, B, H } = this.size;
    for (const [before, all] of [["h0", "hs"], ["c0", "cs"]]) {
      // The first step's rows stay 0.
      this.get(before).set(this.get(all).subarray(0, (T - 1) * B * H), B * H);
    }
    for (const name of ["dh", "dout"]) this.get(name).fill(0);
    this.get("dc").fill(1);
    this.get("blind_h", Uint8Array).fill(1);
    this.run("backward", [...BACKWARD, "blind_h"], { T: 1, B: T * B });
    for (const name of ["h0", "c0"]) this.get(name).fill(0);
    return this.get("dc").slice();
  }
}

const FORWARD = ["entry", "p", "panels", "h0", "c0", "h_n", "c_n", "hs", "cs", "scratch"];
const BACKWARD = ["p", "h0", "c0", "hs", "cs", "noise", "dout", "dh", "dc", "scratch"];

function columnSums(rows, columns) {
  const sums = new Float64Array(columns);
  for (let at = 0; at < rows.length; at += columns) {
    for (let j = 0; j < columns; j += 1) sums[j] += rows[at + j];
  }
  return Float32Array.from(sums);
}

// --- the model -----------------------------------------------------------------------

/** The sizes of all weights: torch's names and shapes, flat. */
function shapes({ G, I, H, K }) {
  return { ih: G * I, hh: G * H, bias_ih: G, bias_hh: G, head: K * H, head_bias: K };
}

/** The library's start: U(-1/√H, 1/√H), biases 0 but for the gate's own law. */
function start(gate, size, next) {
  const bound = 1 / Math.sqrt(size.H);
  const weights = {};
  for (const [name, count] of Object.entries(shapes(size))) {
    const drawn = name.startsWith("bias") ? () => 0 : () => (2 * next() - 1) * bound;
    weights[name] = Float32Array.from({ length: count }, drawn);
  }
  const law = Array.from({ length: size.H }, () => forgetBias(gate.start, size.H, next()));
  gate.blocks.forEach((block, k) => {
    const sign = block === "forget" ? 1 : gate.start.mirrored.includes(block) ? -1 : 0;
    if (sign) weights.bias_ih.set(law.map((b) => sign * b), k * size.H);
  });
  return weights;
}

/** P2 eq. 9: logit(u), u ~ U[1/d, 1 - 1/d]; or a constant. */
function forgetBias({ law, bias }, units, u) {
  if (law !== "uniform") return bias;
  const low = 1 / units;
  const gate = low + u * (1 - 2 * low);
  return Math.log(gate) - Math.log1p(-gate);
}

/** P1's masked logistic noise, as `gatebook.gates.Gumbel` draws it. */
function gumbel({ p, eps }, count, next) {
  const drawn = new Float32Array(count);
  for (let k = 0; k < count; k += 1) {
    const u = next();
    if (u < p) drawn[k] = Math.log((u / p + eps) / (1 + eps - u / p));
  }
  return drawn;
}

/** y (rows, K) = h (rows, H) head' + bias. */
function readHead({ head, head_bias: bias }, h, rows, H) {
  const K = bias.length;
  const y = new Float32Array(rows * K);
  for (let row = 0; row < rows; row += 1) {
    for (let k = 0; k < K; k += 1) {
      let sum = bias[k];
      for (let j = 0; j < H; j += 1) sum += head[k * H + j] * h[row * H + j];
      y[row * K + k] = sum;
    }
  }
  return y;
}

/** Gradients of the head and of h from dy (rows, K). */
function headGradients({ head, head_bias: bias }, h, dy, rows, H) {
  const K = bias.length;
  const grads = { head: new Float32Array(K * H), head_bias: columnSums(dy, K) };
  const dh = new Float32Array(rows * H);
  for (let row = 0; row < rows; row += 1) {
    for (let k = 0; k < K; k += 1) {
      const d = dy[row * K + k];
      for (let j = 0; j < H; j += 1) {
        grads.head[k * H + j] += d * h[row * H + j];
        dh[row * H + j] += d * head[k * H + j];
      }
    }
  }
  return { ...grads, dh };
}

/** Adam with torch's defaults, on a gradient whose norm is at most `clip`. */
class Adam {
  constructor(weights, rate, clip = 1) {
    Object.assign(this, { weights, rate, clip, steps: 0, moments: {} });
    for (const name in weights) {
      const zeros = () => new Float32Array(weights[name].length);
      this.moments[name] = [zeros(), zeros()];
    }
  }

  step(grads) {
    this.steps += 1;
    let square = 0;
    for (const name in this.weights) for (const d of grads[name]) square += d * d;
    const scale = Math.min(1, this.clip / (Math.sqrt(square) + 1e-6));
    const rate = this.rate / (1 - 0.9 ** this.steps);
    const spread = Math.sqrt(1 - 0.999 ** this.steps);
    for (const name in this.weights) {
      const [w, g, [m, v]] = [this.weights[name], grads[name], this.moments[name]];
      for (let k = 0; k < w.length; k += 1) {
        const d = g[k] * scale;
        m[k] += 0.1 * (d - m[k]);
        v[k] += 0.001 * (d * d - v[k]);
        w[k] -= (rate * m[k]) / (Math.sqrt(v[k]) / spread + 1e-8);
      }
    }
    return Math.sqrt(square);
  }
}

// --- training ------------------------------------------------------------------------

const BATCH = 32;
const PROBE = 16;

/**
 * A model in training.
 *
 * `kernels` are compiled modules by name, `spec` is {fields, gates} of `webassembly.py`,
 * `choice` is {task, delay, gate, p, units, rate, seed}; p is the h-detach probability.
 */
class Trainer {
  constructor(kernels, { fields, gates }, choice) {
    const [gate, task] = [gates[choice.gate], TASKS[choice.task]];
    const [T, H] = [task.steps(choice.delay), choice.units];
    const size = { T, I: task.inputs, H, K: task.outputs, G: gate.blocks.length * H };
    const N = gate.noise ? gate.noise.blocks * H : 0;
    const draw = Object.fromEntries(
      Object.entries(STREAMS).map(([name, k]) => [name, random(choice.seed, k)]));
    Object.assign(this, { gate, task, size, choice, draw, steps: 0, seconds: 0 });
    this.weights = start(gate, size, draw.weights);
    this.adam = new Adam(this.weights, choice.rate);
    this.scan = new Scan(kernels[gate.training], fields, { ...size, B: BATCH, N });
    this.eye = new Scan(kernels[gate.evaluation], fields, { ...size, B: PROBE });
    this.probe = task.make(draw.probe, choice.delay, PROBE);
  }

  /** One step of training; gives the batch's loss before it. */
  step() {
    const { draw, gate, task, choice, size } = this;
    const batch = task.make(draw.train, choice.delay, BATCH);
    const detached = choice.p
      ? Uint8Array.from({ length: size.T }, () => draw.detach() < choice.p) : null;
    const noise = gate.noise
      ? gumbel(gate.noise, size.T * BATCH * gate.noise.blocks * size.H, draw.noise) : null;
    const { loss, grads } = this.gradients(batch, { noise, detached });
    this.adam.step(grads);
    this.steps += 1;
    return loss;
  }

  /** The loss on a batch, and the gradients of all weights. */
  gradients({ x, target }, { noise, detached }) {
    const { T, H } = this.size;
    const rows = target.length;
    const read = (T * BATCH - rows) * H; // the head reads the last steps
    const h = this.scan.forward(this.weights, x, noise).slice(read);
    const y = readHead(this.weights, h, rows, H);
    const loss = this.task.loss(y, target, this.size.K);
    const { dh, ...head } = headGradients(this.weights, h, y, rows, H);
    const dout = new Float32Array(T * BATCH * H);
    dout.set(dh, read);
    return { loss, grads: { ...this.scan.backward(dout, detached), ...head } };
  }

  /** The steps of the two marks in the first sequence of the adding task. */
  marks() {
    const { T, I } = this.size;
    if (this.choice.task !== "adding") return [];
    const marked = (t) => this.probe.x[t * PROBE * I + 1] === 1;
    return Array.from({ length: T }, (_, t) => t).filter(marked);
  }

  /** What the model does on sequences that it never trained on, without noise or detaching. */
  look() {
    const { T, H, K } = this.size;
    const { x, target } = this.probe;
    const h = this.eye.forward(this.weights, x).slice((T * PROBE - target.length) * H);
    const y = readHead(this.weights, h, target.length, H);
    const answers = K === 1 ? y.slice() : mostLikely(y, K);
    const loss = this.task.loss(y, target, K);
    const waits = this.task.waits(this.choice.delay);
    const gates = summary(this.eye.forget(), H, waits);
    return { step: this.steps, loss, answers, target, marks: this.marks(), ...gates };
  }
}

function mostLikely(y, K) {
  return Float32Array.from({ length: y.length / K }, (_, row) => {
    let best = 0;
    for (let k = 1; k < K; k += 1) if (y[row * K + k] > y[row * K + best]) best = k;
    return best;
  });
}

/** The gates (T, H) of the first sequence; each unit's mean over all while they wait. */
function summary(gates, H, [from, to]) {
  const row = PROBE * H; // of one step
  const first = new Float32Array((gates.length / row) * H);
  for (let t = 0; t * row < gates.length; t += 1) {
    first.set(gates.subarray(t * row, t * row + H), t * H);
  }
  const sums = columnSums(gates.subarray(from * row, to * row), H);
  return { gates: first, means: sums.map((sum) => sum / ((to - from) * PROBE)) };
}

// --- a race: slices of training between looks ------------------------------------------

const SOLVED = 0.1; // share of the loss of knowing nothing, as on the page on scaling

/** Train until it is solved or at `limit`, and report about every `pause` ms. */
class Run {
  constructor(trainer, limit, report) {
    Object.assign(this, { trainer, limit, report, losses: [] });
    this.tell();
  }

  /** Train for some milliseconds; says whether there is more to do. */
  slice(milliseconds) {
    const { trainer } = this;
    const end = performance.now() + milliseconds;
    let [before, now] = [performance.now(), 0];
    do {
      this.losses.push(trainer.step());
      now = performance.now();
    } while (now < end && trainer.steps < this.limit);
    trainer.seconds += (now - before) / 1000;
    return this.tell();
  }

  tell() {
    const { trainer, losses } = this;
    const seen = trainer.look();
    const solved = seen.loss <= SOLVED * trainer.task.baseline;
    const broken = !Number.isFinite(seen.loss);
    const done = solved || broken || trainer.steps >= this.limit;
    this.losses = [];
    this.report({ ...seen, losses, solved, broken, done, seconds: trainer.seconds });
    return !done;
  }
}

/** Start, pause and go on as messages say; `milliseconds` of training between two. */
function serve(port, milliseconds = 80) {
  let run = null;
  let going = false;
  const turn = () => {
    if (!going || !run) return;
    going = run.slice(milliseconds);
    setTimeout(turn); // a message may come in between
  };
  port.onmessage = ({ data }) => {
    if (data.start) {
      const { kernels, spec, choice, limit } = data.start;
      run = new Run(new Trainer(kernels, spec, choice), limit, (told) => port.postMessage(told));
    }
    const still = going;
    going = Boolean(data.going) && run !== null;
    if (going && !still) turn();
  };
}

export { Adam, Run, Scan, TASKS, Trainer, gumbel, random, serve, start, unpack };
