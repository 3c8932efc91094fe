/* The linear recurrence h_t = a_t h_{t-1} + b_t over T steps of M channels, and its way
   back. compiled.py puts the types and the threads of kernel.c in front.

   Channels do not touch each other. A thread takes some of them through all steps, a
   strip at a time whose row stays in the first cache: each array is read or written
   once, and memory alone decides the time. */

#define STRIP 2048 /* channels whose last row stays in the cache */

typedef struct {
  Z T, M;
  const real *a, *b, *h0; /* h0 may be missing: zeros */
  real *h;
  const real *g; /* gradient of h */
  real *da, *db; /* db becomes d_t = g_t + a_{t+1} d_{t+1}; da may be missing */
} Recurrence;

INLINE void step(const real *restrict a, const real *restrict b,
                 const real *restrict before, real *restrict h, Z count) {
  for (Z j = 0; j < count; j++) h[j] = a[j] * before[j] + b[j];
}

static int recur_(const void *what, int part, int parts) {
  const Recurrence *p = what;
  Span mine = share(p->M, part, parts);
  for (Z j = mine.first; j < mine.last; j += STRIP) {
    Z count = mine.last - j < STRIP ? mine.last - j : STRIP;
    if (p->h0) step(p->a + j, p->b + j, p->h0 + j, p->h + j, count);
    else memcpy(p->h + j, p->b + j, count * sizeof(real));
    for (Z t = 1; t < p->T; t++) {
      Z at = t * p->M + j;
      step(p->a + at, p->b + at, p->h + at - p->M, p->h + at, count);
    }
  }
  return 0;
}

FLUSHED(recur)

INLINE void times(const real *restrict d, const real *restrict before, real *restrict da,
                  Z count) {
  for (Z j = 0; j < count; j++) da[j] = d[j] * before[j];
}

/* Steps from the last to the first. */
static int unrecur_(const void *what, int part, int parts) {
  const Recurrence *p = what;
  Span mine = share(p->M, part, parts);
  for (Z j = mine.first; j < mine.last; j += STRIP) {
    Z count = mine.last - j < STRIP ? mine.last - j : STRIP;
    for (Z t = p->T; t-- > 0;) {
      Z at = t * p->M + j;
      if (t == p->T - 1) memcpy(p->db + at, p->g + at, count * sizeof(real));
      else step(p->a + at + p->M, p->g + at, p->db + at + p->M, p->db + at, count);
      if (!p->da) continue;
      if (t) times(p->db + at, p->h + at - p->M, p->da + at, count);
      else if (p->h0) times(p->db + at, p->h0 + at, p->da + at, count);
      else memset(p->da + at, 0, count * sizeof(real));
    }
  }
  return 0;
}

FLUSHED(unrecur)
