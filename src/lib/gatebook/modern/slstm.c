/* sLSTM over time: what slstm.py says of one step. compiled.py puts the types, threads
   and functions of kernel.c in front.

   A row of pre-activations has G blocks of H units: candidate, input, output, refine if
   G is 5, forget. A thread takes some of the B sequences through all steps. */

typedef struct {
  Z T, B, H, heads, G;
  const real *entered; /* with the noise */
  const real *weight, *turned, *scale; /* turned: to h; scale: of the gate, 1 / tau */
  const real *h0, *c0, *n0, *m0;
  real *pre, *h, *c, *n, *m, *f, *i; /* of all steps; f and i as they act on c */
  const real *dh_out;
  const unsigned char *blind; /* T rows of B: where h was detached; may be missing */
  real *dpre, *dh, *dc, *dn;  /* dh, dc, dn: of the last state, become the first's */
} Cell;

/* The blocks of some sequences += what they read of h, each head its own units. */
static void read_h(const Cell *p, Span own, const real *h, real *rows) {
  Z D = p->H / p->heads, wide = p->G * p->H, count = own.last - own.first;
  for (Z head = 0; head < p->heads; head++)
    for (Z g = 0; g < p->G; g++) {
      Panels w = {p->weight + (head * D * p->G + g) * D, 1, p->G * D};
      product(h + head * D, p->H, 1, w, rows + g * p->H + head * D, wide, count, D, D);
    }
}

/* And its way back: what h gets of the blocks' gradients. */
static void unread_h(const Cell *p, Span own, const real *rows, real *dh) {
  Z D = p->H / p->heads, wide = p->G * p->H, count = own.last - own.first;
  memset(dh, 0, count * p->H * sizeof(real));
  for (Z head = 0; head < p->heads; head++)
    for (Z g = 0; g < p->G; g++) {
      Panels w = {p->turned + (head * p->G + g) * D * D, 1, D};
      product(rows + g * p->H + head * D, wide, 1, w, dh + head * D, p->H, count, D, D);
    }
}

/* log(1 + x) for x from 0 to 1, by the series of 2 atanh(x / (2 + x)). */
INLINE real log_one_plus(real x) {
  real s = x / (2 + x), q = s * s, sum = 0;
#pragma GCC unroll 20
  for (int k = DOUBLE ? 33 : 15; k > 0; k -= 2) sum = sum * q + (real)1 / k;
  return 2 * s * sum;
}

/* log of the forget gate, refined if there is a refine gate, of all units. */
static void log_forget(const Cell *p, const real *restrict row, real *restrict log_f) {
  real scale = *p->scale;
  const real *restrict zf = row + (p->G - 1) * p->H, *restrict zr = row + 3 * p->H;
  for (Z j = 0; j < p->H; j++) {
    real z = zf[j] * scale, far = z < 0 ? z : -z;
    log_f[j] = (z > 0 ? 0 : z) - log_one_plus(exp_(far));
  }
  if (p->G < 5) return;
  for (Z j = 0; j < p->H; j++) {
    real part = sigmoid_(-zf[j] * scale) * tanh_(zr[j] * scale / 2);
    log_f[j] += DOUBLE ? log1p(part) : log1pf(part);
  }
}

static void step_on(const Cell *p, Z t, Z b) {
  Z H = p->H, at = (t * p->B + b) * H, wide = p->G * H;
  const real *restrict c_, *restrict n_, *restrict m_;
  c_ = t ? p->c + at - p->B * H : p->c0 + b * H;
  n_ = t ? p->n + at - p->B * H : p->n0 + b * H;
  m_ = t ? p->m + at - p->B * H : p->m0 + b * H;
  real *restrict row = p->pre + (t * p->B + b) * wide, *restrict f = p->f + at;
  real *restrict i = p->i + at, *restrict m = p->m + at, *restrict c = p->c + at;
  real *restrict n = p->n + at, *restrict h = p->h + at;
  log_forget(p, row, f);
  for (Z j = 0; j < H; j++) {
    real z = row[H + j], kept = f[j] + m_[j];
    real most = n_[j] == 0 || z > kept ? z : kept, down = kept - most;
    m[j] = most;
    f[j] = exp_(down > 0 ? 0 : down); /* above 0 only where n is 0 */
    i[j] = exp_(z - most);
    c[j] = f[j] * c_[j] + i[j] * tanh_(row[j]);
    n[j] = f[j] * n_[j] + i[j];
    h[j] = sigmoid_(row[2 * H + j]) * c[j] / n[j];
  }
}

static int slstm_(const void *what, int part, int parts) {
  const Cell *p = what;
  Span mine = share(p->B, part, parts);
  Z wide = p->G * p->H, count = mine.last - mine.first;
  for (Z t = 0; t < p->T; t++) {
    Z at = t * p->B + mine.first;
    const real *h = t ? p->h + (at - p->B) * p->H : p->h0 + mine.first * p->H;
    memcpy(p->pre + at * wide, p->entered + at * wide, count * wide * sizeof(real));
    read_h(p, mine, h, p->pre + at * wide);
    for (Z b = mine.first; b < mine.last; b++) step_on(p, t, b);
  }
  return 0;
}

FLUSHED(slstm)

static void step_back(const Cell *p, Z t, Z b) {
  Z H = p->H, at = (t * p->B + b) * H, wide = p->G * H;
  const real *restrict c_ = t ? p->c + at - p->B * H : p->c0 + b * H;
  const real *restrict n_ = t ? p->n + at - p->B * H : p->n0 + b * H;
  const real *restrict row = p->pre + (t * p->B + b) * wide, *restrict f = p->f + at;
  const real *restrict i = p->i + at, *restrict c = p->c + at, *restrict n = p->n + at;
  const real *restrict zf = row + (p->G - 1) * H, *restrict zr = row + 3 * H;
  const real *restrict dout = p->dh_out + at;
  const real *restrict dh = p->dh + b * H;
  real *restrict d = p->dpre + (t * p->B + b) * wide;
  real *restrict dc = p->dc + b * H, *restrict dn = p->dn + b * H, scale = *p->scale;
  int refined = p->G == 5;
  for (Z j = 0; j < H; j++) {
    real o = sigmoid_(row[2 * H + j]), v = tanh_(row[j]), r = c[j] / n[j];
    real g = dout[j] + dh[j], gc = dc[j] + g * o / n[j], gn = dn[j] - g * o * r / n[j];
    d[2 * H + j] = g * r * o * (1 - o);
    d[j] = gc * i[j] * (1 - v * v);
    d[H + j] = (gc * v + gn) * i[j];
    real of_log = (gc * c_[j] + gn * n_[j]) * f[j] * scale;
    real s = sigmoid_(zf[j] * scale), rest = sigmoid_(-zf[j] * scale);
    if (refined) {
      real tilt = tanh_(zr[j] * scale / 2), by = 1 + rest * tilt;
      d[3 * H + j] = of_log * rest * (1 - tilt * tilt) / (2 * by);
      d[4 * H + j] = of_log * rest * (1 + (rest - s) * tilt) / by;
    } else {
      d[3 * H + j] = of_log * rest;
    }
    dc[j] = gc * f[j];
    dn[j] = gn * f[j];
  }
}

static int unslstm_(const void *what, int part, int parts) {
  const Cell *p = what;
  Span mine = share(p->B, part, parts);
  for (Z t = p->T; t-- > 0;) {
    for (Z b = mine.first; b < mine.last; b++) step_back(p, t, b);
    const real *rows = p->dpre + (t * p->B + mine.first) * p->G * p->H;
    unread_h(p, mine, rows, p->dh + mine.first * p->H);
    for (Z b = mine.first; p->blind && b < mine.last; b++)
      if (p->blind[t * p->B + b]) memset(p->dh + b * p->H, 0, p->H * sizeof(real));
  }
  return 0;
}

FLUSHED(unslstm)
