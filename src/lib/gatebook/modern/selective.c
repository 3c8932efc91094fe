/* Mamba's recurrence: h_n = exp(-step a_n) h_n + b_n u, y = sum over n of c_n h_n, for
   each of D channels with N states, and the way back. compiled.py puts the types,
   threads and functions of kernel.c in front.

   A thread takes some of the B sequences through all steps; a state is N rows of D
   numbers. Only each EVERY-th one is kept, as in matrix.c. */

#define EVERY 16

typedef struct {
  Z T, B, D, N, parts_room;
  const real *step, *u, *a, *b, *c, *h0;
  real *y, *last, *kept;
  const real *dy;
  real *dstep, *du, *da, *db, *dc, *dh; /* da: one for each thread */
  real *scratch;
} Selective;

/* A row of D states on by one step; keeps its factors for the way back. */
INLINE void row_on(const real *restrict step, const real *restrict u,
                   const real *restrict a, real b, const real *from, real *to,
                   real *restrict factor, Z D) {
  for (Z d = 0; d < D; d++) {
    real f = exp_(-step[d] * a[d]);
    factor[d] = f;
    to[d] = f * from[d] + b * u[d];
  }
}

static int select_on_(const void *what, int part, int parts) {
  const Selective *p = what;
  Z D = p->D, N = p->N, size = N * D;
  real *factor = p->scratch + part * p->parts_room;
  Span mine = share(p->B, part, parts);
  for (Z row = mine.first; row < mine.last; row++) {
    real *h = p->last + row * size;
    memcpy(h, p->h0 + row * size, size * sizeof(real));
    for (Z t = 0; t < p->T; t++) {
      Z at = t * p->B + row;
      if (p->kept && t % EVERY == 0)
        memcpy(p->kept + (t / EVERY * p->B + row) * size, h, size * sizeof(real));
      real *restrict y = p->y + at * D;
      memset(y, 0, D * sizeof(real));
      for (Z n = 0; n < N; n++) {
        real c = p->c[at * N + n], *restrict hn = h + n * D;
        row_on(p->step + at * D, p->u + at * D, p->a + n * D, p->b[at * N + n], hn, hn,
               factor, D);
        for (Z d = 0; d < D; d++) y[d] += c * hn[d];
      }
    }
  }
  return 0;
}

FLUSHED(select_on)

static void row_back(const Selective *p, Z at, Z n, const real *restrict from,
                     const real *restrict h, const real *restrict factor,
                     real *restrict dh, real *restrict da) {
  Z D = p->D;
  const real *restrict step = p->step + at * D, *restrict u = p->u + at * D;
  const real *restrict a = p->a + n * D, *restrict dy = p->dy + at * D;
  real *restrict dstep = p->dstep + at * D, *restrict du = p->du + at * D;
  real b = p->b[at * p->N + n], c = p->c[at * p->N + n], db = 0, dc = 0;
#pragma omp simd reduction(+ : db, dc)
  for (Z d = 0; d < D; d++) {
    real g = dh[d] + c * dy[d];
    dc += h[d] * dy[d];
    db += g * u[d];
    du[d] += g * b;
    real of_log = -g * factor[d] * from[d]; /* of step times a */
    dstep[d] += of_log * a[d];
    da[d] += of_log * step[d];
    dh[d] = g * factor[d];
  }
  p->db[at * p->N + n] = db;
  p->dc[at * p->N + n] = dc;
}

static int unselect_(const void *what, int part, int parts) {
  const Selective *p = what;
  Z D = p->D, N = p->N, size = N * D;
  real *states = p->scratch + part * p->parts_room; /* of EVERY + 1 steps */
  real *factors = states + (EVERY + 1) * size, *da = p->da + part * size;
  Span mine = share(p->B, part, parts);
  for (Z row = mine.first; row < mine.last; row++)
    for (Z k = (p->T + EVERY - 1) / EVERY; k-- > 0;) {
      Z first = k * EVERY, count = p->T - first < EVERY ? p->T - first : EVERY;
      memcpy(states, p->kept + (k * p->B + row) * size, size * sizeof(real));
      for (Z i = 0; i < count; i++)
        for (Z n = 0; n < N; n++) {
          Z at = (first + i) * p->B + row, from = i * size + n * D;
          row_on(p->step + at * D, p->u + at * D, p->a + n * D, p->b[at * N + n],
                 states + from, states + from + size, factors + from, D);
        }
      for (Z i = count; i-- > 0;) {
        Z at = (first + i) * p->B + row;
        memset(p->dstep + at * D, 0, D * sizeof(real));
        memset(p->du + at * D, 0, D * sizeof(real));
        for (Z n = 0; n < N; n++) {
          Z from = i * size + n * D;
          row_back(p, at, n, states + from, states + from + size, factors + from,
                   p->dh + row * size + n * D, da + n * D);
        }
      }
    }
  return 0;
}

FLUSHED(unselect)
