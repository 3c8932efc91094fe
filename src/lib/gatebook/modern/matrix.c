/* A matrix as state: S_t = Diag(f_t) S_{t-1} + k_t v_t', y_t = S_t' q_t, and the way
   back. compiled.py puts the types, threads and functions of kernel.c in front.

   `rows` pairs of sequence and head do not touch each other; a thread takes some of
   them through all steps. Only each EVERY-th state is kept: the way back makes the
   states between anew, from the last of them to the first. */

#define EVERY 16

typedef struct {
  Z T, rows, K, V, parts_room; /* room: numbers of scratch a thread */
  const real *f, *k, *q, *v, *s0;
  real *y, *last, *kept; /* last state; states before steps 0, EVERY, 2 EVERY, … */
  const real *dy;
  real *df, *dk, *dq, *dv, *ds; /* ds: of the last state, becomes that of the first */
  real *scratch;
} Matrix;

static void advance(const real *restrict f, const real *restrict k,
                    const real *restrict v, const real *restrict from,
                    real *restrict to, Z K, Z V) {
  for (Z i = 0; i < K; i++) {
    real fi = f[i], ki = k[i];
    for (Z j = 0; j < V; j++) to[i * V + j] = fi * from[i * V + j] + ki * v[j];
  }
}

static int remember_(const void *what, int part, int parts) {
  const Matrix *p = what;
  Z K = p->K, V = p->V, size = K * V;
  Span mine = share(p->rows, part, parts);
  for (Z row = mine.first; row < mine.last; row++) {
    real *s = p->last + row * size;
    memcpy(s, p->s0 + row * size, size * sizeof(real));
    for (Z t = 0; t < p->T; t++) {
      Z at = t * p->rows + row;
      if (p->kept && t % EVERY == 0)
        memcpy(p->kept + (t / EVERY * p->rows + row) * size, s, size * sizeof(real));
      const real *f = p->f + at * K, *k = p->k + at * K, *q = p->q + at * K;
      const real *restrict v = p->v + at * V;
      real *restrict y = p->y + at * V;
      memset(y, 0, V * sizeof(real));
      for (Z i = 0; i < K; i++) {
        real fi = f[i], ki = k[i], qi = q[i], *restrict si = s + i * V;
        for (Z j = 0; j < V; j++) {
          si[j] = fi * si[j] + ki * v[j];
          y[j] += qi * si[j];
        }
      }
    }
  }
  return 0;
}

FLUSHED(remember)

/* One step back: `s` is the state after the step, `from` the one before. */
static void retreat(const Matrix *p, Z at, const real *from, const real *s, real *ds) {
  Z K = p->K, V = p->V;
  const real *restrict v = p->v + at * V, *restrict dy = p->dy + at * V;
  real *restrict dv = p->dv + at * V;
  memset(dv, 0, V * sizeof(real));
  for (Z i = 0; i < K; i++) {
    real qi = p->q[at * K + i], ki = p->k[at * K + i], fi = p->f[at * K + i];
    const real *restrict fs = from + i * V, *restrict si = s + i * V;
    real *restrict di = ds + i * V, df = 0, dk = 0, dq = 0;
#pragma omp simd reduction(+ : df, dk, dq)
    for (Z j = 0; j < V; j++) {
      real d = di[j] + qi * dy[j];
      dq += si[j] * dy[j];
      dk += d * v[j];
      df += d * fs[j];
      dv[j] += d * ki;
      di[j] = fi * d;
    }
    p->df[at * K + i] = df;
    p->dk[at * K + i] = dk;
    p->dq[at * K + i] = dq;
  }
}

static int unremember_(const void *what, int part, int parts) {
  const Matrix *p = what;
  Z K = p->K, V = p->V, size = K * V;
  real *states = p->scratch + part * p->parts_room; /* of EVERY + 1 steps */
  Span mine = share(p->rows, part, parts);
  for (Z row = mine.first; row < mine.last; row++)
    for (Z c = (p->T + EVERY - 1) / EVERY; c-- > 0;) {
      Z first = c * EVERY, n = p->T - first < EVERY ? p->T - first : EVERY;
      memcpy(states, p->kept + (c * p->rows + row) * size, size * sizeof(real));
      for (Z i = 0; i < n; i++) {
        Z at = (first + i) * p->rows + row;
        advance(p->f + at * K, p->k + at * K, p->v + at * V, states + i * size,
                states + (i + 1) * size, K, V);
      }
      for (Z i = n; i-- > 0;)
        retreat(p, (first + i) * p->rows + row, states + i * size,
                states + (i + 1) * size, p->ds + row * size);
    }
  return 0;
}

FLUSHED(unremember)
