/* The recurrence over time for one gate, in one precision.

   build.py puts in: `real`, the numbers of blocks, the runs of the recurrent product,
   and the lines of the forward and the backward step between the FILL marks.

   Arrays are row-major. A row is one sequence of the batch. Threads share a pass in
   one of two ways. Apart: each takes some rows, so that no thread waits for another.
   Together: each takes some rows of the pointwise step and some columns of the
   product, and they meet twice per step; a large weight is then read once by all of
   them, not once by each. If meetings cost too much, because other programs hold the
   processors, they go on apart. Sums run in the same order in both ways, from packed
   weights and from plain ones, and for any number of threads: results are equal to
   the last bit. */

#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* FILL settings */

typedef size_t Z;

/* ---- Threads --------------------------------------------------------------- */

typedef struct { Z first, last; } Span;

/* A thread's part of `count` things. */
static Span share(Z count, int part, int parts) {
  return (Span){count * part / parts, count * (part + 1) / parts};
}

/* Below 1e-38 in single precision a number is written without its leading one, and a
   processor takes a hundred times longer for it. The gradient of a long sequence is
   there for most of the way, and stays there: 0.6 of the least number rounds to the
   least number. So while a thread works here, such numbers are 0. */
#if defined(__x86_64__)
typedef unsigned Mode;
static Mode flush(void) {
  Mode before = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(before | 0x8040); /* results that are so small; operands */
  return before;
}
static void restore(Mode before) { __builtin_ia32_ldmxcsr(before); }
#elif defined(__aarch64__)
typedef uint64_t Mode;
static Mode flush(void) {
  Mode before;
  __asm__ volatile("mrs %0, fpcr" : "=r"(before));
  __asm__ volatile("msr fpcr, %0" : : "r"(before | (Mode)1 << 24));
  return before;
}
static void restore(Mode before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }
#else
typedef int Mode;
static Mode flush(void) { return 0; }
static void restore(Mode before) { (void)before; }
#endif

#define FLUSHED(name)                                  \
  int name(const void *what, int part, int parts) {    \
    Mode before = flush();                             \
    int failed = name##_(what, part, parts);           \
    restore(before);                                   \
    return failed;                                     \
  }

#define PATIENCE 50000 /* nanoseconds by which no thread is late on a quiet machine */

static int64_t now(void) { /* nanoseconds */
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Work for the threads of the OpenMP library that calls `crew` in each of them. */
typedef struct {
  int (*work)(const void *what, int part, int parts);
  const void *what;
  int (*thread)(void), (*threads)(void);
  int64_t done; /* when the calling thread had done its own part */
  int failed;
} Crew;

void crew(void *given) {
  Crew *c = given;
  int part = c->thread(), failed = c->work(c->what, part, c->threads());
  if (failed) __atomic_store_n(&c->failed, failed, __ATOMIC_RELAXED);
  if (part == 0) c->done = now();
}

/* The work in `parts` threads that `start`, GOMP_parallel, brings together. Returns
   whether the others were late: by much, and by more than half of the work's time. */
int gather(void (*start)(void (*)(void *), void *, unsigned, unsigned), Crew *c, int parts) {
  int64_t began = now();
  start(crew, c, parts, 0);
  int64_t waited = now() - c->done;
  return waited > PATIENCE && waited > (c->done - began) / 2;
}

/* Where the threads of a pass wait for each other. */
typedef struct {
  int64_t began, came; /* when all first met, and when the first came to a meeting */
  int64_t late;        /* nanoseconds that threads have waited too long */
  int waiting, turn;
  int apart;           /* they meet no more */
  int abandoned;       /* one of them never came */
} Meeting;

#define LOOKS 2000     /* looks of a waiting thread before it gives its processor away */

#if defined(__x86_64__)
#define RELAX() __builtin_ia32_pause()
#else
#define RELAX() (void)0
#endif

/* The last to come says whether they go on apart: if a quarter of the time is lost. */
static void decide(Meeting *m) {
  int64_t time = now(), waited = time - __atomic_load_n(&m->came, __ATOMIC_RELAXED);
  if (!m->began) { /* a thread that slept may take long to its first meeting */
    m->began = time;
    return;
  }
  if (waited > PATIENCE) m->late += waited;
  if (m->late > (time - m->began) / 4) __atomic_store_n(&m->apart, 1, __ATOMIC_RELAXED);
}

/* Wait for all threads. The result says whether they go on apart, the same in each. */
static int meet(Meeting *m, int parts) {
  int turn = __atomic_load_n(&m->turn, __ATOMIC_ACQUIRE);
  if (!__atomic_load_n(&m->waiting, __ATOMIC_RELAXED))
    __atomic_store_n(&m->came, now(), __ATOMIC_RELAXED);
  if (__atomic_add_fetch(&m->waiting, 1, __ATOMIC_ACQ_REL) == parts) {
    decide(m);
    __atomic_store_n(&m->waiting, 0, __ATOMIC_RELAXED);
    __atomic_add_fetch(&m->turn, 1, __ATOMIC_RELEASE);
  } else {
    for (int looks = 0; __atomic_load_n(&m->turn, __ATOMIC_ACQUIRE) == turn; looks++) {
      if (__atomic_load_n(&m->abandoned, __ATOMIC_RELAXED)) return 1;
      if (looks < LOOKS) RELAX();
      else sched_yield();
    }
  }
  return __atomic_load_n(&m->apart, __ATOMIC_RELAXED);
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
#define LANES (BYTES / (DOUBLE ? 8 : 4))
#define WIDE (2 * LANES) /* columns of a panel */

typedef real vec __attribute__((vector_size(BYTES), aligned(sizeof(real))));
#define INLINE static inline __attribute__((always_inline))

/* Where the panel of WIDE columns from column n begins, and its rows' distance. A
   packed weight has its panels one behind the other; a plain one is its own panels. */
typedef struct {
  const real *at;
  Z step, row;
} Panels;

static Panels packed(const real *panels, Z depth) {
  return (Panels){panels, depth, WIDE};
}

/* One tile of c += a * panel. a has the strides am (rows) and ak (depth). */
INLINE void tile(int rows, const real *restrict a, Z am, Z ak, const real *restrict panel,
                 Z row, real *restrict c, Z ldc, Z depth) {
  vec s[ROWS][2] = {{{0}}};
  for (Z k = 0; k < depth; k++) {
    vec p = *(const vec *)(panel + k * row);
    vec q = *(const vec *)(panel + k * row + LANES);
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
  case n: tile(n, a, am, ak, panel, row, c, ldc, depth); break;

static void some_rows(int rows, const real *a, Z am, Z ak, const real *panel, Z row,
                      real *c, Z ldc, Z depth) {
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

/* The same for the last columns, where a plain weight has nothing behind them. */
static void narrow(int rows, const real *a, Z am, Z ak, const real *panel, Z row,
                   real *c, Z ldc, Z depth, Z columns) {
  for (int m = 0; m < rows; m++) {
    vec s[2] = {{0}}, wide[2] = {{0}};
    for (Z k = 0; k < depth; k++) {
      memcpy(wide, panel + k * row, columns * sizeof(real));
      for (int half = 0; half < 2; half++) s[half] += a[m * am + k * ak] * wide[half];
    }
    for (Z n = 0; n < columns; n++) c[m * ldc + n] += s[n / LANES][n % LANES];
  }
}

/* The same for a packed weight, whose last panel is as wide as the others. */
static void padded_panel(int rows, const real *a, Z am, Z ak, const real *panel, real *c,
                         Z ldc, Z depth, Z columns) {
  real own[ROWS * WIDE];
  for (int m = 0; m < rows; m++)
    for (Z n = 0; n < WIDE; n++) own[m * WIDE + n] = n < columns ? c[m * ldc + n] : 0;
  some_rows(rows, a, am, ak, panel, WIDE, own, WIDE, depth);
  for (int m = 0; m < rows; m++) memcpy(c + m * ldc, own + m * WIDE, columns * sizeof(real));
}

/* c (rows x columns) += a (rows x depth) * panels. */
static void product(const real *a, Z am, Z ak, Panels w, real *c, Z ldc, Z rows,
                    Z columns, Z depth) {
  Z tiles = (rows + ROWS - 1) / ROWS, height = tiles ? (rows + tiles - 1) / tiles : 0;
  for (Z n = 0; n < columns; n += WIDE)
    for (Z m = 0; m < rows; m += height) {
      int r = (int)(rows - m < height ? rows - m : height);
      const real *panel = w.at + n * w.step, *from = a + m * am;
      real *to = c + m * ldc + n;
      if (columns - n >= WIDE)
        some_rows(r, from, am, ak, panel, w.row, to, ldc, depth);
      else if (w.row == WIDE)
        padded_panel(r, from, am, ak, panel, to, ldc, depth, columns - n);
      else
        narrow(r, from, am, ak, panel, w.row, to, ldc, depth, columns - n);
    }
}

static Z padded(Z columns) { return (columns + WIDE - 1) / WIDE * WIDE; }

/* Numbers that `panels` of a matrix take. */
Z panels_size(Z columns, Z depth) { return padded(columns) * depth; }

/* LANES rows of LANES numbers, turned into columns: each stage deals the two halves
   like cards, and as many stages as LANES has bits turn rows into columns. */
#ifdef __has_builtin
#if __has_builtin(__builtin_shufflevector)
#define DEAL __builtin_shufflevector
#endif
#endif
#ifndef DEAL
#elif LANES == 16
#define LOW(a, b) DEAL(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH(a, b) DEAL(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif LANES == 8
#define LOW(a, b) DEAL(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH(a, b) DEAL(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#elif LANES == 4
#define LOW(a, b) DEAL(a, b, 0, 4, 1, 5)
#define HIGH(a, b) DEAL(a, b, 2, 6, 3, 7)
#else
#define LOW(a, b) DEAL(a, b, 0, 2)
#define HIGH(a, b) DEAL(a, b, 1, 3)
#endif

INLINE void turn(const real *w, Z row, vec *t) {
#ifdef DEAL
  vec half[LANES];
#pragma GCC unroll 16
  for (int i = 0; i < LANES; i++) t[i] = *(const vec *)(w + i * row);
#pragma GCC unroll 4
  for (int stage = 1; stage < LANES; stage *= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) half[i] = t[i];
#pragma GCC unroll 8
    for (int i = 0; i < LANES / 2; i++) {
      t[2 * i] = LOW(half[i], half[i + LANES / 2]);
      t[2 * i + 1] = HIGH(half[i], half[i + LANES / 2]);
    }
  }
#else
  for (int i = 0; i < LANES; i++)
    for (int k = 0; k < LANES; k++) t[k][i] = w[i * row + k];
#endif
}

/* One panel, from column n and depth k on. */
static void pack_panel(const real *w, Z wn, Z wk, real *to, Z columns, Z depth) {
  Z k = 0;
  if (wn == 1 && columns >= WIDE)
    for (; k < depth; k++) memcpy(to + k * WIDE, w + k * wk, WIDE * sizeof(real));
  if (wk == 1 && columns >= WIDE)
    for (; k + LANES <= depth; k += LANES)
      for (int half = 0; half < WIDE; half += LANES) {
        vec t[LANES];
        turn(w + half * wn + k, wn, t);
        for (int i = 0; i < LANES; i++) *(vec *)(to + (k + i) * WIDE + half) = t[i];
      }
  for (; k < depth; k++)
    for (Z j = 0; j < WIDE; j++) to[k * WIDE + j] = j < columns ? w[j * wn + k * wk] : 0;
}

/* Panels of a matrix whose entry (column n, depth k) lies at w[n * wn + k * wk]. */
void pack(const real *w, Z wn, Z wk, real *panels, Z columns, Z depth) {
  for (Z n = 0; n < columns; n += WIDE)
    pack_panel(w + n * wn, wn, wk, panels + n * depth, columns - n, depth);
}

/* c (rows x columns) += a (rows x depth) * w', from the rows of a plain w. For few
   rows, where packing would take longer than the product. */
#define THIN 4 /* rows at a time */

INLINE void thin_tile(int rows, const real *a, Z lda, const real *w, Z ldw, real *c, Z ldc,
                      Z depth) {
  vec s[THIN] = {{0}}, t[LANES];
  Z k = 0;
  for (; k + LANES <= depth; k += LANES) {
    turn(w + k, ldw, t);
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
#pragma GCC unroll 4
      for (int m = 0; m < rows; m++) s[m] += a[m * lda + k + i] * t[i];
  }
  for (; k < depth; k++) {
    vec last = {0};
    for (int j = 0; j < LANES; j++) last[j] = w[j * ldw + k];
#pragma GCC unroll 4
    for (int m = 0; m < rows; m++) s[m] += a[m * lda + k] * last;
  }
#pragma GCC unroll 4
  for (int m = 0; m < rows; m++) *(vec *)(c + m * ldc) += s[m];
}

static void thin_rows(int rows, const real *a, Z lda, const real *w, Z ldw, real *c, Z ldc,
                      Z columns, Z depth) {
  Z n = 0;
  for (; n + LANES <= columns; n += LANES) switch (rows) {
      case 1: thin_tile(1, a, lda, w + n * ldw, ldw, c + n, ldc, depth); break;
      case 2: thin_tile(2, a, lda, w + n * ldw, ldw, c + n, ldc, depth); break;
      case 3: thin_tile(3, a, lda, w + n * ldw, ldw, c + n, ldc, depth); break;
      default: thin_tile(4, a, lda, w + n * ldw, ldw, c + n, ldc, depth);
    }
  for (int m = 0; n < columns && m < rows; m++) {
    vec s = {0}, some = {0}; /* a loop without vectors might round in another way */
    for (Z k = 0; k < depth; k++) {
      for (Z j = n; j < columns; j++) some[j - n] = w[j * ldw + k];
      s += a[m * lda + k] * some;
    }
    for (Z j = n; j < columns; j++) c[m * ldc + j] += s[j - n];
  }
}

static void thin(const real *a, Z lda, const real *w, Z ldw, real *c, Z ldc, Z rows,
                 Z columns, Z depth) {
  for (Z m = 0; m < rows; m += THIN)
    thin_rows(rows - m < THIN ? (int)(rows - m) : THIN, a + m * lda, lda, w, ldw,
              c + m * ldc, ldc, columns, depth);
}

/* c = a * panels, with `rows` rows. */
typedef struct {
  const real *a, *panels;
  real *c;
  Z columns, depth, rows;
} Product;

static int project_(const void *what, int part, int parts) {
  const Product *q = what;
  const Z chunk = 8 * ROWS; /* rows that stay in the cache while all panels pass */
  Span own = share(q->rows, part, parts);
  for (Z m = own.first; m < own.last; m += chunk) {
    Z rows = own.last - m < chunk ? own.last - m : chunk;
    real *c = q->c + m * q->columns;
    memset(c, 0, rows * q->columns * sizeof(real));
    product(q->a + m * q->depth, q->depth, 1, packed(q->panels, q->depth), c, q->columns,
            rows, q->columns, q->depth);
  }
  return 0;
}

FLUSHED(project)

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

static int outer_(const void *what, int part, int parts) {
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
        product(ap + (m - block) * d, 1, ROWS, packed(bp, d), q->c + m * q->ldc, q->ldc,
                end - m < ROWS ? end - m : ROWS, N, d);
    }
  }
  free(bp); free(ap);
  return 0;
}

FLUSHED(outer)

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
  const real *w_ih, *w_hh; /* (G, I), (G, H) weights */
  const real *b_ih, *b_hh; /* (G) biases, or null */
  real *entry;          /* input weight, packed, or null: the plain one serves */
  real *p;              /* (T, B, G) input's share; then the sum; then its gradient */
  real *r;              /* (T, B, A) recurrent share of the blocks kept apart */
  real *panels;         /* recurrent weight, packed run by run, or null */
  real *back;           /* its transpose, packed run by run, or null */
  const real *h0, *c0;  /* (B, H) */
  real *h_n, *c_n;      /* (B, H) the last state; c_n is null if the core is tied */
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
static Span columns_of(int together, Z columns, int part, int parts) {
  if (!together) return (Span){0, columns};
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

/* ---- A pass: packing, the way there and the way back ------------------------- */

/* Numbers that the packed weight takes: the input's, the recurrent one, its transpose. */
Z entry_size(Z I, Z H) {
  Z at[BLOCKS];
  return panels_size(places(H, at), I);
}
Z recurrent_size(Z H) {
  Z sum = 0;
  for (int k = 0; k < RUN_COUNT; k++) sum += panels_size(run_width(k, H), H);
  return sum;
}
Z back_size(Z H) {
  Z sum = 0;
  for (int k = 0; k < RUN_COUNT; k++) sum += panels_size(H, run_width(k, H));
  return sum;
}

/* A thread's share of a weight's panels. */
static void pack_share(const real *w, Z wn, Z wk, real *panels, Z columns, Z depth,
                       int part, int parts) {
  Span own = share(padded(columns) / WIDE, part, parts);
  for (Z n = own.first * WIDE; n < own.last * WIDE; n += WIDE)
    pack_panel(w + n * wn, wn, wk, panels + n * depth, columns - n, depth);
}

/* Pack what a pass has room for. */
int ready(const void *what, int part, int parts) {
  const Pass *p = what;
  Z at[BLOCKS], H = p->H, G = places(H, at);
  real *panels = p->panels, *back = p->back;
  if (p->entry) pack_share(p->w_ih, p->I, 1, p->entry, G, p->I, part, parts);
  for (int k = 0; k < RUN_COUNT; k++) {
    Z columns = run_width(k, H);
    const real *w = p->w_hh + at[RUNS[k].block] * H;
    if (panels) pack_share(w, H, 1, panels, columns, H, part, parts);
    if (back) pack_share(w, 1, H, back, H, columns, part, parts);
    panels += panels ? panels_size(columns, H) : 0;
    back += back ? panels_size(H, columns) : 0;
  }
  return 0;
}

/* Each row becomes the sum of two biases that may be null. */
static void fill_rows(real *c, Z ldc, const real *a, const real *b, Z rows, Z columns) {
  for (Z m = 0; m < rows; m++)
    for (Z j = 0; j < columns; j++) c[m * ldc + j] = (a ? a[j] : 0) + (b ? b[j] : 0);
}

/* The biases of the sums; a block kept apart has its recurrent one elsewhere. */
static void start_rows(const Pass *p, const Z *at, real *c, Z G, Z rows) {
  for (int k = 0; k < RUN_COUNT; k++) {
    Z place = at[RUNS[k].block];
    const real *recurrent = RUNS[k].apart < 0 && p->b_hh ? p->b_hh + place : 0;
    fill_rows(c + place, G, p->b_ih ? p->b_ih + place : 0, recurrent, rows,
              run_width(k, p->H));
  }
}

/* The input's share of the steps from t0 to t1. A panel serves all of them. */
static void enter(const Pass *p, const Z *at, Z G, Z t0, Z t1, Span own) {
  Z rows = own.last - own.first, I = p->I;
  for (Z t = t0; t < t1; t++) {
    real *c = p->p + (t % p->hold * p->B + own.first) * G;
    start_rows(p, at, c, G, rows);
    if (!p->entry)
      thin(p->x + (t * p->B + own.first) * I, I, p->w_ih, I, c, G, rows, G, I);
  }
  for (Z n = 0; p->entry && n < G; n += WIDE)
    for (Z t = t0; t < t1; t++)
      product(p->x + (t * p->B + own.first) * I, I, 1, packed(p->entry + n * I, I),
              p->p + (t % p->hold * p->B + own.first) * G + n, G, rows,
              G - n < WIDE ? G - n : WIDE, I);
}

static int forward_(const void *what, int part, int parts) {
  const Pass *p = what;
  Z B = p->B, H = p->H, at[BLOCKS], nat[NOISES + 1], G = places(H, at), N = noise_places(H, nat);
  int together = p->meeting != 0;
  Span mine = share(B, part, parts);
  real *s_ = p->scratch + part * SCRATCH, *few = s_ + STAGE_COUNT * H;
  real *soft = few + STAGE_COUNT * H;
  for (Z t = 0; t < p->T; t++) {
    if (t % p->chunk == 0)
      enter(p, at, G, t, t + p->chunk < p->T ? t + p->chunk : p->T, mine);
    if (together) together = !meet(p->meeting, parts); /* all have state and input */
    Span fed = together ? (Span){0, B} : mine;
    Z row0 = t * B, held0 = t % p->hold * B, rows = fed.last - fed.first;
    const real *hp = t ? p->hs + (row0 - B) * H : p->h0;
    const real *cp = TIED ? hp : t ? p->cs + (t - 1) % p->hold * B * H : p->c0;
    const real *panels = p->panels, *from = hp + fed.first * H;
    for (int k = 0; k < RUN_COUNT; k++) {
      Z columns = run_width(k, H), place = at[RUNS[k].block], ldc = G;
      Span own = columns_of(together, columns, part, parts);
      Z wide = own.last - own.first;
      real *sum = p->p + (held0 + fed.first) * G + place + own.first;
      if (RUNS[k].apart >= 0) {
        ldc = A;
        sum = p->r + (held0 + fed.first) * A + RUNS[k].apart * H + own.first;
        fill_rows(sum, A, 0, p->b_hh ? p->b_hh + place + own.first : 0, rows, wide);
      }
      if (panels)
        product(from, H, 1, packed(panels + own.first * H, H), sum, ldc, rows, wide, H);
      else
        thin(from, H, p->w_hh + (place + own.first) * H, H, sum, ldc, rows, wide, H);
      panels += panels ? panels_size(columns, H) : 0;
    }
    if (together) together = !meet(p->meeting, parts); /* the product is whole */
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
  Z first = mine.first * H, count = (mine.last - mine.first) * H * sizeof(real);
  memcpy(p->h_n + first, p->hs + (p->T - 1) * B * H + first, count);
  if (p->c_n) memcpy(p->c_n + first, p->cs + (p->T - 1) % p->hold * B * H + first, count);
  return 0;
}

FLUSHED(forward)

static int backward_(const void *what, int part, int parts) {
  const Pass *p = what;
  Z B = p->B, H = p->H, at[BLOCKS], nat[NOISES + 1], G = places(H, at), N = noise_places(H, nat);
  int together = p->meeting != 0;
  Span mine = share(B, part, parts);
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
    Span fed = together ? (Span){0, B} : mine;
    int blind = 1; /* nothing to do if every row is blocked */
    for (Z b = fed.first; b < fed.last && blind; b++) blind = BLIND(p->blind_h, t, b);
    if (blind) continue;
    if (together) together = !meet(p->meeting, parts); /* all gradients are there */
    if (!together) fed = mine;
    Span own = columns_of(together, H, part, parts);
    Z rows = fed.last - fed.first, wide = own.last - own.first;
    real *through = p->through + fed.first * H + own.first;
    fill_rows(through, H, 0, 0, rows, wide);
    const real *panels = p->back;
    for (int k = 0; k < RUN_COUNT; k++) {
      Z depth = run_width(k, H), apart = RUNS[k].apart >= 0, place = at[RUNS[k].block];
      const real *d = apart ? p->r + (row0 + fed.first) * A + RUNS[k].apart * H
                            : p->p + (row0 + fed.first) * G + place;
      Panels w = panels ? packed(panels + own.first * depth, depth)
                        : (Panels){p->w_hh + place * H + own.first, 1, H};
      product(d, apart ? A : G, 1, w, through, H, rows, wide, depth);
      panels += panels ? panels_size(H, depth) : 0;
    }
    for (Z b = 0; b < rows; b++) {
      if (BLIND(p->blind_h, t, fed.first + b)) continue;
      real *restrict dh_ = p->dh + (fed.first + b) * H + own.first;
      for (Z j = 0; j < wide; j++) dh_[j] += through[b * H + j];
    }
    if (together) together = !meet(p->meeting, parts); /* the state's gradient is whole */
  }
  return 0;
}

FLUSHED(backward)

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
