/* The recurrence over time for one gate, in one precision.

   build.py puts in: `real`, the numbers of blocks, the runs of the recurrent product,
   and the lines of the forward and the backward step between the FILL marks.

   Arrays are row-major. A row is one sequence of the batch. Threads share a pass in
   one of two ways. Apart: each takes some rows, so that no thread waits for another.
   Together: each takes some rows of the pointwise step and some columns of the
   product, and they meet twice a step; a large weight is then read once by all of
   them, not once by each. Sums run in the same order in both ways and for any number
   of threads: results are equal to the last bit. */

#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* FILL settings */

typedef size_t Z;

/* ---- Threads --------------------------------------------------------------- */

typedef struct { Z first, last; } Span;

/* A thread's part of `count` things. */
static Span share(Z count, int part, int parts) {
  return (Span){count * part / parts, count * (part + 1) / parts};
}

/* Work for the threads of the OpenMP library that calls `crew` in each of them. */
typedef struct {
  int (*work)(const void *what, int part, int parts);
  const void *what;
  int (*thread)(void), (*threads)(void);
  int failed;
} Crew;

void crew(void *given) {
  Crew *c = given;
  int failed = c->work(c->what, c->thread(), c->threads());
  if (failed) __atomic_store_n(&c->failed, failed, __ATOMIC_RELAXED);
}

/* Where the threads of a pass wait for each other. */
typedef struct {
  int waiting, turn, abandoned; /* abandoned: one of them never came */
} Meeting;

static void meet(Meeting *m, int parts) {
  if (!m) return;
  int turn = __atomic_load_n(&m->turn, __ATOMIC_ACQUIRE);
  if (__atomic_add_fetch(&m->waiting, 1, __ATOMIC_ACQ_REL) == parts) {
    __atomic_store_n(&m->waiting, 0, __ATOMIC_RELAXED);
    __atomic_add_fetch(&m->turn, 1, __ATOMIC_RELEASE);
    return;
  }
  for (int looks = 0; __atomic_load_n(&m->turn, __ATOMIC_ACQUIRE) == turn; looks++) {
    if (__atomic_load_n(&m->abandoned, __ATOMIC_RELAXED)) return;
    if (looks > 1000) sched_yield(); /* more threads than processors */
  }
}

/* ---- Matrix products ------------------------------------------------------- */

#if defined(__AVX512F__)
#define BYTES 64
#define ROWS 14 /* 28 of 32 registers hold a tile of 14 x 2 vectors */
#elif defined(__AVX2__)
#define BYTES 32
#define ROWS 6
#else
#define BYTES 16
#define ROWS 12
#endif
#define LANES (BYTES / sizeof(real))
#define WIDE (2 * LANES) /* columns of a panel */

typedef real vec __attribute__((vector_size(BYTES), aligned(sizeof(real))));
#define INLINE static inline __attribute__((always_inline))

/* One tile of c += a * panel. a has the strides am (rows) and ak (depth). */
INLINE void tile(int rows, const real *restrict a, Z am, Z ak,
                 const real *restrict panel, real *restrict c, Z ldc, Z depth) {
  vec s[ROWS][2] = {{{0}}};
  for (Z k = 0; k < depth; k++) {
    vec p = *(const vec *)(panel + k * WIDE);
    vec q = *(const vec *)(panel + k * WIDE + LANES);
#pragma GCC unroll 16
    for (int m = 0; m < rows; m++) {
      real v = a[m * am + k * ak];
      s[m][0] += v * p;
      s[m][1] += v * q;
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < rows; m++) {
    *(vec *)(c + m * ldc) += s[m][0];
    *(vec *)(c + m * ldc + LANES) += s[m][1];
  }
}

#define CASE(n) \
  case n: tile(n, a, am, ak, panel, c, ldc, depth); break;

static void some_rows(int rows, const real *a, Z am, Z ak, const real *panel, real *c,
                      Z ldc, Z depth) {
  switch (rows) {
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if ROWS > 6
    CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
#if ROWS > 12
    CASE(13) CASE(14)
#endif
  }
}

/* The same for the last panel, which has fewer columns than it is wide. */
static void narrow(int rows, const real *a, Z am, Z ak, const real *panel, real *c,
                   Z ldc, Z depth, Z columns) {
  real own[ROWS * WIDE];
  for (int m = 0; m < rows; m++)
    for (Z n = 0; n < WIDE; n++) own[m * WIDE + n] = n < columns ? c[m * ldc + n] : 0;
  some_rows(rows, a, am, ak, panel, own, WIDE, depth);
  for (int m = 0; m < rows; m++) memcpy(c + m * ldc, own + m * WIDE, columns * sizeof(real));
}

/* c (rows x columns) += a (rows x depth) * panels. */
static void product(const real *a, Z am, Z ak, const real *panels, real *c, Z ldc,
                    Z rows, Z columns, Z depth) {
  Z tiles = (rows + ROWS - 1) / ROWS, height = tiles ? (rows + tiles - 1) / tiles : 0;
  for (Z n = 0; n < columns; n += WIDE)
    for (Z m = 0; m < rows; m += height) {
      int r = (int)(rows - m < height ? rows - m : height);
      const real *panel = panels + n * depth;
      if (columns - n >= WIDE)
        some_rows(r, a + m * am, am, ak, panel, c + m * ldc + n, ldc, depth);
      else
        narrow(r, a + m * am, am, ak, panel, c + m * ldc + n, ldc, depth, columns - n);
    }
}

static Z padded(Z columns) { return (columns + WIDE - 1) / WIDE * WIDE; }

/* Numbers that `panels` of a matrix take. */
Z panels_size(Z columns, Z depth) { return padded(columns) * depth; }

/* Panels of a matrix whose entry (column n, depth k) lies at w[n * wn + k * wk]. */
void pack(const real *w, Z wn, Z wk, real *panels, Z columns, Z depth) {
  for (Z n = 0; n < columns; n += WIDE)
    for (Z k = 0; k < depth; k++) {
      real *to = panels + n * depth + k * WIDE;
      if (wn == 1 && columns - n >= WIDE) memcpy(to, w + n + k * wk, WIDE * sizeof(real));
      else
        for (Z j = 0; j < WIDE; j++) to[j] = n + j < columns ? w[(n + j) * wn + k * wk] : 0;
    }
}

/* c = a * panels, with `rows` rows. */
typedef struct {
  const real *a, *panels;
  real *c;
  Z columns, depth, rows;
} Product;

int project(const void *what, int part, int parts) {
  const Product *q = what;
  const Z chunk = 8 * ROWS; /* rows that stay in the cache while all panels pass */
  Span own = share(q->rows, part, parts);
  for (Z m = own.first; m < own.last; m += chunk) {
    Z rows = own.last - m < chunk ? own.last - m : chunk;
    real *c = q->c + m * q->columns;
    memset(c, 0, rows * q->columns * sizeof(real));
    product(q->a + m * q->depth, q->depth, 1, q->panels, c, q->columns, rows, q->columns,
            q->depth);
  }
  return 0;
}

/* Columns of a, tile by tile: rows are read from end to end, as memory likes it. */
static void pack_left(const real *a, Z lda, real *ap, Z columns, Z depth) {
  for (Z k = 0; k < depth; k++)
    for (Z m = 0; m < columns; m += ROWS) {
      real *to = ap + m * depth + k * ROWS;
      const real *from = a + k * lda + m;
      if (columns - m >= ROWS) memcpy(to, from, ROWS * sizeof(real)); /* a known size */
      else memcpy(to, from, (columns - m) * sizeof(real));
    }
}

/* c (M x N) += sum over k of a[k, m] * b[k, n]. */
typedef struct {
  const real *a, *b;
  real *c;
  Z lda, ldb, ldc, M, N, depth;
} Outer;

int outer(const void *what, int part, int parts) {
  const Outer *q = what;
  const Z deep = 256, wide = 16 * ROWS, N = q->N; /* what of a and b stays in the cache */
  Span own = share(q->M, part, parts);
  real *bp = malloc(panels_size(N, deep) * sizeof(real));
  real *ap = malloc(wide * deep * sizeof(real));
  if (!bp || !ap) { free(bp); free(ap); return 1; }
  for (Z k = 0; k < q->depth; k += deep) {
    Z d = q->depth - k < deep ? q->depth - k : deep;
    pack(q->b + k * q->ldb, 1, q->ldb, bp, N, d);
    for (Z block = own.first; block < own.last; block += wide) {
      Z end = own.last - block < wide ? own.last : block + wide;
      pack_left(q->a + k * q->lda + block, q->lda, ap, end - block, d);
      for (Z m = block; m < end; m += ROWS)
        product(ap + (m - block) * d, 1, ROWS, bp, q->c + m * q->ldc, q->ldc,
                end - m < ROWS ? end - m : ROWS, N, d);
    }
  }
  free(bp); free(ap);
  return 0;
}

/* ---- Functions of one number ------------------------------------------------ */

/* e^x by 2^n times a polynomial; a NaN stays one, since it fails both comparisons. */
#if DOUBLE
INLINE real exp_(real x) {
  x = x < -708.0 ? -708.0 : x;
  x = x > 708.0 ? 708.0 : x;
  real n = __builtin_rint(x * 1.4426950408889634);
  real r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  real p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0; p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0; p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0; p = p * r + 1.0 / 5040.0; p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0; p = p * r + 1.0 / 24.0; p = p * r + 1.0 / 6.0;
  p = p * r + 0.5; p = p * r + 1.0; p = p * r + 1.0;
  union { int64_t i; double f; } two = {((int64_t)n + 1023) << 52};
  return p * two.f;
}
INLINE real tanh_(real x) {
  real e = exp_(2 * x);
  return (e - 1) / (e + 1);
}
#else
INLINE real exp_(real x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  real n = __builtin_rintf(x * 1.44269504f);
  real r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  real p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f; p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f; p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  union { int32_t i; float f; } two = {((int32_t)n + 127) << 23};
  return p * two.f;
}
/* Near 0 the quotient would lose digits, so a series takes its place. */
INLINE real tanh_(real x) {
  real e = exp_(2 * x), s = x * x;
  real far = (e - 1) / (e + 1);
  real near = x * (1 + s * (-0.33333333f + s * (0.13333333f + s * (-0.05396825f + s * 0.02186949f))));
  return s < 0.0625f ? near : far;
}
#endif
INLINE real sigmoid_(real x) { return 1 / (1 + exp_(-x)); }
#define where_(yes, a, b) ((yes) ? (a) : (b))
#define real_(x) ((real)(x))

/* ---- The recurrence ---------------------------------------------------------- */

typedef struct {
  Z T, B, I, H;
  Z chunk;              /* steps whose input is projected at a time, for the cache */
  Z hold;               /* steps that p, r and cs hold: T, or chunk with no backward */
  const real *x;        /* (T, B, I) */
  const real *entry;    /* input weight, packed */
  const real *base;     /* (G) the input's bias, or null */
  real *p;              /* (T, B, G) input's share; then the sum; then its gradient */
  real *r;              /* (T, B, A) recurrent share of the blocks kept apart */
  const real *panels;   /* recurrent weight, packed run by run */
  const real *back;     /* its transpose */
  const real *bias;     /* (A) recurrent bias of the blocks kept apart, or null */
  const real *h0, *c0;  /* (B, H) */
  real *out, *hs, *cs;  /* (T, B, H); hs is out if no sequence ends early */
  const real *noise;    /* (T, B, N) */
  const uint8_t *keep_h, *keep_c, *alive; /* (T, B, H), (T, B, H), (T, B) */
  const uint8_t *blind_h, *blind_c;       /* where the gradient is blocked */
  Z blind_step, blind_row;                /* their strides */
  const real *dout;     /* (T, B, H) */
  real *dh, *dc;        /* (B, H): gradient of the last state, then of the first */
  real *through;        /* (B, H): gradient through the product */
  real *scratch;        /* (threads, SCRATCH) */
  Meeting *meeting;     /* null if the threads work apart */
} Pass;

/* The columns whose product a thread works out, from one panel's edge to another's. */
static Span columns_of(const Pass *p, Z columns, int part, int parts) {
  if (!p->meeting) return (Span){0, columns};
  Span s = share(padded(columns) / WIDE, part, parts);
  Z last = s.last * WIDE;
  return (Span){s.first * WIDE, last < columns ? last : columns};
}

#define A (APART * H)
#define BLIND(mask, t, b) ((mask) && (mask)[(t) * p->blind_step + (b) * p->blind_row])

#if defined(__clang__)
#define TOGETHER _Pragma("clang loop vectorize(assume_safety)")
#else
#define TOGETHER _Pragma("GCC ivdep")
#endif

/* Where each block begins in a row, and how long a row is. */
static Z places(Z H, Z *at) {
  Z sum = 0;
  for (int k = 0; k < BLOCKS; k++) { at[k] = sum; sum += H / FEW[k]; }
  return sum;
}
static Z noise_places(Z H, Z *at) {
  Z sum = 0;
  for (int k = 0; k < NOISES; k++) { at[k] = sum; sum += H / FEW[NOISY[k]]; }
  return sum;
}
static Z run_width(int k, Z H) {
  Z sum = 0;
  for (int i = 0; i < RUNS[k].blocks; i++) sum += H / FEW[RUNS[k].block + i];
  return sum;
}

/* Sums and scans over a row. A sum in which each addition waits for the one before it
   would take most of a step's time, so several go on side by side, in an order that
   is the same on every machine. */
#define SIDE 16

static real largest(const real *x, Z n) {
  real m[SIDE], most;
  for (Z l = 0; l < SIDE; l++) m[l] = x[l < n ? l : 0];
  for (Z j = 0; j + SIDE <= n; j += SIDE)
    for (Z l = 0; l < SIDE; l++) m[l] = x[j + l] > m[l] ? x[j + l] : m[l];
  for (Z j = n / SIDE * SIDE; j < n; j++) m[0] = x[j] > m[0] ? x[j] : m[0];
  most = m[0];
  for (Z l = 1; l < SIDE; l++) most = m[l] > most ? m[l] : most;
  return most;
}

/* The sum of x * y, or of x where there is no y. */
static real total(const real *x, const real *y, Z n) {
  real s[SIDE] = {0}, sum = 0;
  for (Z j = 0; j + SIDE <= n; j += SIDE)
    for (Z l = 0; l < SIDE; l++) s[l] += y ? x[j + l] * y[j + l] : x[j + l];
  for (Z j = n / SIDE * SIDE; j < n; j++) sum += y ? x[j] * y[j] : x[j];
  for (Z l = 0; l < SIDE; l++) sum += s[l];
  return sum;
}

/* x[j] becomes the sum of x[0] to x[j]. */
static void scan_up(real *x, Z n) {
  for (Z j = 0; j < n; j += SIDE)
    for (Z l = j + 1; l < (n < j + SIDE ? n : j + SIDE); l++) x[l] += x[l - 1];
  real before = 0;
  for (Z j = 0; j < n; j += SIDE) {
    Z end = n < j + SIDE ? n : j + SIDE;
    real whole = x[end - 1];
    for (Z l = j; l < end; l++) x[l] += before;
    before += whole;
  }
}

/* x[j] becomes the sum of x[j] to x[n - 1]. */
static void scan_down(real *x, Z n) {
  Z last = n / SIDE * SIDE;
  for (Z j = 0; j < n; j += SIDE)
    for (Z l = n < j + SIDE ? n : j + SIDE; --l > j;) x[l - 1] += x[l];
  real after = 0;
  for (Z j = last + SIDE; j > 0; j -= SIDE) {
    Z start = j - SIDE, end = n < j ? n : j;
    if (start >= end) continue;
    real whole = x[start];
    for (Z l = start; l < end; l++) x[l] += after;
    after += whole;
  }
}

/* Activate a staged block of n values: s = cumax(y) or sigmoid(y) of the noisy
   pre-activations y. For cumax, soft gets the softmax. */
static void activate(int cumax, const real *x_, const real *n_, real *s, real *soft, Z n) {
  for (Z j = 0; j < n; j++) {
    const real x0 = x_[j];
    const real noise0 = n_ ? n_[j] : 0;
    (void)noise0;
    /* FILL entry */
    s[j] = cumax ? y : sigmoid_(y);
  }
  if (!cumax) return;
  const real most = largest(s, n);
  for (Z j = 0; j < n; j++) soft[j] = exp_(s[j] - most);
  const real sum = total(soft, 0, n);
  for (Z j = 0; j < n; j++) s[j] = soft[j] /= sum;
  scan_up(s, n);
  for (Z j = 0; j < n; j++) s[j] = s[j] > 1 ? 1 : s[j];
}

/* The way back: ds, one a value, becomes the gradient of the pre-activation. */
static void deactivate(int cumax, real *x_, const real *n_, const real *s,
                       const real *soft, real *ds, Z n) {
  if (cumax) { /* cumsum backwards, then the softmax's Jacobian */
    scan_down(ds, n);
    const real mean = total(soft, ds, n);
    for (Z j = 0; j < n; j++) ds[j] = soft[j] * (ds[j] - mean);
  } else {
    for (Z j = 0; j < n; j++) ds[j] *= s[j] * (1 - s[j]);
  }
  for (Z j = 0; j < n; j++) {
    const real x0 = x_[j], g0 = ds[j];
    const real noise0 = n_ ? n_[j] : 0;
    (void)noise0; (void)x0;
    /* FILL leave */
    x_[j] = d;
  }
}

/* All staged blocks of one row, each value spread over its units. */
static void stage(const real *x_, const real *n_, const Z *at, const Z *nat, Z H,
                  real *s_, real *few, real *soft) {
  for (int i = 0; i < STAGE_COUNT; i++) {
    int k = STAGES[i].block, wide = FEW[k];
    Z n = H / wide;
    const real *own = 0;
    for (int m = 0; m < NOISES; m++) if (NOISY[m] == k) own = n_ + nat[m];
    activate(STAGES[i].cumax, x_ + at[k], own, few + i * H, soft + i * H, n);
    for (Z j = 0; j < n; j++)
      for (int r = 0; r < wide; r++) s_[i * H + j * wide + r] = few[i * H + j];
  }
}
static void unstage(real *x_, const real *n_, const Z *at, const Z *nat, Z H,
                    const real *few, const real *soft, real *ds_) {
  for (int i = 0; i < STAGE_COUNT; i++) {
    int k = STAGES[i].block, wide = FEW[k];
    Z n = H / wide;
    const real *own = 0;
    for (int m = 0; m < NOISES; m++) if (NOISY[m] == k) own = n_ + nat[m];
    real *ds = ds_ + i * H;
    for (Z j = 0; j < n; j++) {
      real sum = 0;
      for (int r = 0; r < wide; r++) sum += ds[j * wide + r];
      ds[j] = sum; /* j <= j * wide, so nothing is overwritten too early */
    }
    deactivate(STAGES[i].cumax, x_ + at[k], own, few + i * H, soft + i * H, ds, n);
  }
}
#define SCRATCH (4 * STAGE_COUNT * H)

/* Numbers that a thread needs for its own. */
Z scratch_size(Z H) { return SCRATCH; }

static void fill_rows(real *c, Z ldc, const real *bias, Z rows, Z columns) {
  for (Z b = 0; b < rows; b++)
    if (bias) memcpy(c + b * ldc, bias, columns * sizeof(real));
    else memset(c + b * ldc, 0, columns * sizeof(real));
}

/* The input's share of the steps from t0 to t1. A panel serves all of them. */
static void enter(const Pass *p, Z G, Z t0, Z t1, Z first, Z last) {
  Z rows = last - first;
  for (Z t = t0; t < t1; t++)
    fill_rows(p->p + (t % p->hold * p->B + first) * G, G, p->base, rows, G);
  for (Z n = 0; n < G; n += WIDE)
    for (Z t = t0; t < t1; t++)
      product(p->x + (t * p->B + first) * p->I, p->I, 1, p->entry + n * p->I,
              p->p + (t % p->hold * p->B + first) * G + n, G, rows,
              G - n < WIDE ? G - n : WIDE, p->I);
}

int forward(const void *what, int part, int parts) {
  const Pass *p = what;
  Z B = p->B, H = p->H, at[BLOCKS], nat[NOISES + 1], G = places(H, at), N = noise_places(H, nat);
  Span mine = share(B, part, parts), fed = p->meeting ? (Span){0, B} : mine;
  Z rows = fed.last - fed.first;
  real *s_ = p->scratch + part * SCRATCH, *few = s_ + STAGE_COUNT * H;
  real *soft = few + STAGE_COUNT * H;
  for (Z t = 0; t < p->T; t++) {
    if (t % p->chunk == 0)
      enter(p, G, t, t + p->chunk < p->T ? t + p->chunk : p->T, mine.first, mine.last);
    meet(p->meeting, parts); /* all have their new state, and their input */
    Z row0 = t * B, held0 = t % p->hold * B;
    const real *hp = t ? p->hs + (row0 - B) * H : p->h0;
    const real *cp = TIED ? hp : t ? p->cs + (t - 1) % p->hold * B * H : p->c0;
    const real *panels = p->panels;
    for (int k = 0; k < RUN_COUNT; k++) {
      Z columns = run_width(k, H);
      Span own = columns_of(p, columns, part, parts);
      Z wide = own.last - own.first;
      const real *from = hp + fed.first * H, *w = panels + own.first * H;
      if (RUNS[k].apart < 0) {
        real *sum = p->p + (held0 + fed.first) * G + at[RUNS[k].block] + own.first;
        product(from, H, 1, w, sum, G, rows, wide, H);
      } else {
        Z place = RUNS[k].apart * H + own.first;
        real *r = p->r + (held0 + fed.first) * A + place;
        fill_rows(r, A, p->bias ? p->bias + place : 0, rows, wide);
        product(from, H, 1, w, r, A, rows, wide, H);
      }
      panels += panels_size(columns, H);
    }
    meet(p->meeting, parts); /* the product is whole */
    for (Z b = mine.first; b < mine.last; b++) {
      Z row = row0 + b, held = held0 + b;
      const real *restrict x_ = p->p + held * G, *restrict r_ = p->r + held * A;
      const real *restrict n_ = p->noise + row * N;
      const real *restrict h_ = hp + b * H, *restrict c_ = cp + b * H;
      const uint8_t *restrict kh_ = p->keep_h + row * H, *restrict kc_ = p->keep_c + row * H;
      const int alive0 = ALIVE ? p->alive[row] : 1;
      real *restrict out_ = p->out + row * H, *restrict hn_ = p->hs + row * H;
      real *restrict cn_ = p->cs + held * H;
      stage(x_, n_, at, nat, H, s_, few, soft);
      TOGETHER for (Z j = 0; j < H; j++) {
        /* FILL forward */
      }
      (void)r_; (void)n_; (void)c_; (void)h_; (void)kh_; (void)kc_; (void)alive0;
      (void)hn_; (void)cn_; (void)out_;
    }
  }
  return 0;
}

int backward(const void *what, int part, int parts) {
  const Pass *p = what;
  Z B = p->B, H = p->H, at[BLOCKS], nat[NOISES + 1], G = places(H, at), N = noise_places(H, nat);
  Span mine = share(B, part, parts), fed = p->meeting ? (Span){0, B} : mine;
  Span own = columns_of(p, H, part, parts);
  Z rows = fed.last - fed.first, wide = own.last - own.first;
  real *s_ = p->scratch + part * SCRATCH, *few = s_ + STAGE_COUNT * H;
  real *soft = few + STAGE_COUNT * H, *ds_ = soft + STAGE_COUNT * H;
  for (Z t = p->T; t-- > 0;) {
    Z row0 = t * B;
    const real *hp = t ? p->hs + (row0 - B) * H : p->h0;
    const real *cp = TIED ? hp : t ? p->cs + (row0 - B) * H : p->c0;
    for (Z b = mine.first; b < mine.last; b++) {
      Z row = row0 + b;
      real *x_ = p->p + row * G, *r_ = p->r + row * A;
      const real *restrict n_ = p->noise + row * N;
      const real *restrict h_ = hp + b * H, *restrict c_ = cp + b * H;
      const uint8_t *restrict kh_ = p->keep_h + row * H, *restrict kc_ = p->keep_c + row * H;
      const int alive0 = ALIVE ? p->alive[row] : 1;
      const real sees = BLIND(p->blind_c, t, b) ? 0 : 1;
      const real *restrict dout_ = p->dout + row * H;
      real *restrict dh_ = p->dh + b * H, *restrict dc_ = p->dc + b * H;
      stage(x_, n_, at, nat, H, s_, few, soft);
      TOGETHER for (Z j = 0; j < H; j++) {
        /* FILL backward */
      }
      (void)r_; (void)n_; (void)c_; (void)h_; (void)kh_; (void)kc_; (void)alive0;
      (void)dh_; (void)dc_; (void)dout_; (void)sees;
      unstage(x_, n_, at, nat, H, few, soft, ds_);
    }
    int blind = 1; /* nothing to do if every row is blocked */
    for (Z b = fed.first; b < fed.last && blind; b++) blind = BLIND(p->blind_h, t, b);
    if (blind) continue;
    meet(p->meeting, parts); /* all gradients of the step are there */
    real *through = p->through + fed.first * H + own.first;
    fill_rows(through, H, 0, rows, wide);
    const real *panels = p->back;
    for (int k = 0; k < RUN_COUNT; k++) {
      Z depth = run_width(k, H), apart = RUNS[k].apart >= 0;
      const real *d = apart ? p->r + (row0 + fed.first) * A + RUNS[k].apart * H
                            : p->p + (row0 + fed.first) * G + at[RUNS[k].block];
      product(d, apart ? A : G, 1, panels + own.first * depth, through, H, rows, wide, depth);
      panels += panels_size(H, depth);
    }
    for (Z b = 0; b < rows; b++) {
      if (BLIND(p->blind_h, t, fed.first + b)) continue;
      real *restrict dh_ = p->dh + (fed.first + b) * H + own.first;
      for (Z j = 0; j < wide; j++) dh_[j] += through[b * H + j];
    }
    meet(p->meeting, parts); /* the state's gradient is whole */
  }
  return 0;
}

/* ---- One step alone ------------------------------------------------------------ */

/* The pointwise part of one step of B rows, in evaluation: x (B, G) is the input's
   product with its bias and becomes the sum, rec (B, G) the state's with its bias.
   A GRU has one state: c and cn are not looked at. */
int step(Z B, Z H, real *x, const real *rec, const real *h, const real *c, real *hn,
         real *cn) {
  Z at[BLOCKS], nat[NOISES + 1], G = places(H, at);
  (void)noise_places(H, nat);
  real *own = malloc((SCRATCH + A + 1) * sizeof(real));
  if (!own) return 1;
  real *s_ = own, *few = s_ + STAGE_COUNT * H, *soft = few + STAGE_COUNT * H;
  real *apart = own + SCRATCH;
  for (Z b = 0; b < B; b++) {
    real *restrict x_ = x + b * G;
    for (int k = 0; k < RUN_COUNT; k++) {
      const real *from = rec + b * G + at[RUNS[k].block];
      real *to = x_ + at[RUNS[k].block];
      if (RUNS[k].apart < 0)
        for (Z j = 0; j < run_width(k, H); j++) to[j] += from[j];
      else
        memcpy(apart + RUNS[k].apart * H, from, H * sizeof(real));
    }
    const real *restrict r_ = apart, *restrict n_ = 0;
    const real *restrict h_ = h + b * H, *restrict c_ = TIED ? h_ : c + b * H;
    const uint8_t *restrict kh_ = 0, *restrict kc_ = 0;
    const int alive0 = 1;
    real *restrict hn_ = hn + b * H, *restrict cn_ = TIED ? hn_ : cn + b * H;
    real *restrict out_ = hn_;
    stage(x_, n_, at, nat, H, s_, few, soft);
    TOGETHER for (Z j = 0; j < H; j++) {
      /* FILL forward */
    }
    (void)r_; (void)n_; (void)c_; (void)h_; (void)kh_; (void)kc_; (void)alive0;
    (void)hn_; (void)cn_; (void)out_;
  }
  free(own);
  return 0;
}
