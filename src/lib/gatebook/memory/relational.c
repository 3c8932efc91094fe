/* A relational memory core over time: what relational.py says of one step, with one
   round of attention. It stands behind kernel.c, whose products, functions and lines of
   the gate it uses. The gate's derivative is in those lines; those of the attention and
   of the norms are written here, and tested against autograd.

   A row is one slot of one sequence, `slots` rows a sequence. Sequences do not touch
   each other: each thread takes some of them, a group at a time through all steps, so
   that a group's arrays stay in the cache. The input's row is worked out before the
   loop, for all steps at once: its queries, keys and values are `entered`. */

#define GROUP 192 /* rows of a group, about */

#if DOUBLE
#define sqrt_ __builtin_sqrt
#else
#define sqrt_ __builtin_sqrtf
#endif
#define EPSILON ((real)1e-5) /* of torch.nn.LayerNorm */

typedef struct {
  Z T, B, slots, H, heads, room;
  const real *m0;               /* (B, N, H) the memory before */
  const real *entered;          /* (T, B, 3H) the input's row, projected and normed */
  const real *gate_row;         /* (T, B, G - H) its share of the gate */
  const real *noise;            /* (T, B, N, ...) */
  const real *project, *first, *second, *gate;       /* weights, packed for the way */
  const real *b_project, *b_first, *b_second, *b_gate;
  const real *g_project, *s_project, *g_read, *s_read, *g_out, *s_out; /* gain, shift */
  real *out;                    /* (T, B, N, H) the memory after each step */
  real *qkv, *qkv_scale;        /* (T, B, N, 3H) normed, then its gradient; (T, B, N) */
  real *weights;                /* (T, B, heads, N, N + 1) of the attention */
  real *read, *read_scale;      /* (T, B, N, H) normed, then `hidden`'s gradient */
  real *rows;                   /* (T, B, N, H) after the attention */
  real *hidden;                 /* (T, B, N, H) after the ReLU */
  real *done, *done_scale;      /* (T, B, N, H) normed, then its sum's gradient */
  real *shown;                  /* (T, B, N, H) tanh of the memory before */
  real *p;                      /* (T, B, N, G) gate and candidate, then their gradient */
  const real *dout;             /* (T, B, N, H) */
  real *dm;                     /* (B, N, H) gradient of the last memory, then the first */
  real *dentered, *dgate_row;   /* as `entered` and `gate_row` */
  real *sums;                   /* (threads, 14 H + G) gradients of gains, shifts, biases */
  real *scratch;                /* (threads, room) */
} Relation;

/* Numbers that a thread needs for its own. */
Z relation_room(Z slots, Z H) {
  Z wide = slots + 1, group = GROUP + slots;
  return SCRATCH + 6 * wide * H + 3 * group * H + H + wide;
}

/* Sums in vectors, in the same order on every thread. */
INLINE real folded(vec s) {
  real sum = 0;
  for (int l = 0; l < LANES; l++) sum += s[l];
  return sum;
}
INLINE real sum_of(const real *x, Z n) {
  vec s = {0};
  Z j = 0;
  for (; j + LANES <= n; j += LANES) s += *(const vec *)(x + j);
  real sum = folded(s);
  for (; j < n; j++) sum += x[j];
  return sum;
}
INLINE real dot(const real *x, const real *y, Z n) {
  vec s = {0};
  Z j = 0;
  for (; j + LANES <= n; j += LANES) s += *(const vec *)(x + j) * *(const vec *)(y + j);
  real sum = folded(s);
  for (; j < n; j++) sum += x[j] * y[j];
  return sum;
}

/* x becomes (x - mean) / deviation; returns 1 / deviation. */
static real normed(real *x, Z n) {
  const real mean = sum_of(x, n) / n;
  for (Z j = 0; j < n; j++) x[j] -= mean;
  const real scale = 1 / sqrt_(dot(x, x, n) / n + EPSILON);
  for (Z j = 0; j < n; j++) x[j] *= scale;
  return scale;
}

static void scaled(real *restrict y, const real *restrict x, const real *restrict gain,
                   const real *restrict shift, Z n) {
  for (Z j = 0; j < n; j++) y[j] = x[j] * gain[j] + shift[j];
}

/* The way back of both: dy becomes the gradient of what was normed. */
static void unnormed(real *restrict dy, const real *restrict x, real scale,
                     const real *restrict gain, real *restrict dgain,
                     real *restrict dshift, Z n) {
  for (Z j = 0; j < n; j++) {
    dgain[j] += dy[j] * x[j];
    dshift[j] += dy[j];
    dy[j] *= gain[j];
  }
  const real mean = sum_of(dy, n) / n, along = dot(dy, x, n) / n;
  for (Z j = 0; j < n; j++) dy[j] = scale * (dy[j] - mean - x[j] * along);
}

static void add(real *restrict to, const real *restrict from, Z n) {
  for (Z j = 0; j < n; j++) to[j] += from[j];
}

/* Where a head's query begins in row n; key and value follow it. The last row is the
   input's. */
typedef struct { const real *rows, *last; Z slots, H, size; } Rows;

static Rows rows_of(const Relation *p, const real *rows, Z t, Z b) {
  return (Rows){rows, p->entered + (t * p->B + b) * 3 * p->H, p->slots, p->H,
                p->H / p->heads};
}
INLINE const real *query(Rows r, Z n, Z head) {
  return (n < r.slots ? r.rows + n * 3 * r.H : r.last) + head * 3 * r.size;
}

/* What the slots of one sequence read is added to `read`. */
static void attend(Rows r, Z heads, real *restrict w, real *restrict read) {
  const Z wide = r.slots + 1;
  const real scale = 1 / sqrt_((real)r.size);
  for (Z k = 0, at = 0; k < heads; k++)
    for (Z n = 0; n < r.slots; n++, at += wide) {
      for (Z m = 0; m < wide; m++)
        w[at + m] = scale * dot(query(r, n, k), query(r, m, k) + r.size, r.size);
      real most = w[at];
      for (Z m = 1; m < wide; m++) most = w[at + m] > most ? w[at + m] : most;
      for (Z m = 0; m < wide; m++) w[at + m] -= most;
    }
  for (Z i = 0; i < heads * r.slots * wide; i++) w[i] = exp_(w[i]);
  for (Z k = 0, at = 0; k < heads; k++)
    for (Z n = 0; n < r.slots; n++, at += wide) {
      real sum = 0, *restrict to = read + n * r.H + k * r.size;
      for (Z m = 0; m < wide; m++) sum += w[at + m];
      for (Z m = 0; m < wide; m++) {
        const real *restrict value = query(r, m, k) + 2 * r.size, own = w[at + m] /= sum;
        for (Z j = 0; j < r.size; j++) to[j] += own * value[j];
      }
    }
}

/* The way back: `d` holds the gradients of all rows' queries, keys and values. */
static void unattend(Rows r, Z heads, const real *restrict w, const real *restrict dread,
                     real *restrict d, real *restrict dw) {
  const Z wide = r.slots + 1;
  const real scale = 1 / sqrt_((real)r.size);
  memset(d, 0, wide * 3 * r.H * sizeof(real));
  for (Z k = 0, at = 0; k < heads; k++)
    for (Z n = 0; n < r.slots; n++, at += wide) {
      const real *restrict from = dread + n * r.H + k * r.size;
      const real *restrict q = query(r, n, k);
      real *restrict dq = d + n * 3 * r.H + k * 3 * r.size, mean = 0;
      for (Z m = 0; m < wide; m++) {
        dw[m] = dot(from, query(r, m, k) + 2 * r.size, r.size);
        mean += w[at + m] * dw[m];
      }
      for (Z m = 0; m < wide; m++) {
        const real *restrict key = query(r, m, k) + r.size;
        const real own = w[at + m], ds = scale * own * (dw[m] - mean);
        real *restrict dkey = d + m * 3 * r.H + k * 3 * r.size + r.size;
        for (Z j = 0; j < r.size; j++) {
          dq[j] += ds * key[j];
          dkey[j] += ds * q[j];
          dkey[j + r.size] += own * from[j];
        }
      }
    }
}

/* c = a * panels + bias. */
static void linear(const real *a, const real *panels, const real *bias, real *c, Z ldc,
                   Z rows, Z columns, Z depth) {
  fill_rows(c, ldc, bias, 0, rows, columns);
  product(a, depth, 1, packed(panels, depth), c, ldc, rows, columns, depth);
}

/* A thread's rooms. */
typedef struct { real *s, *few, *soft, *ds, *qkv, *dqkv, *group, *other, *third, *none, *dw; } Room;

static Room room_of(const Relation *p, int part) {
  Z H = p->H, wide = p->slots + 1, group = (GROUP + p->slots) * H;
  Room r;
  r.s = p->scratch + part * p->room;
  r.few = r.s + STAGE_COUNT * H;
  r.soft = r.few + STAGE_COUNT * H;
  r.ds = r.soft + STAGE_COUNT * H;
  r.qkv = r.s + SCRATCH;
  r.dqkv = r.qkv + 3 * wide * H;
  r.group = r.dqkv + 3 * wide * H;
  r.other = r.group + group;
  r.third = r.other + group;
  r.none = r.third + group;
  r.dw = r.none + H;
  return r;
}

static void step_on(const Relation *p, Span own, Z t, Room room) {
  Z H = p->H, slots = p->slots, at[BLOCKS], nat[NOISES + 1], G = places(H, at);
  Z noises = noise_places(H, nat), wide = G - H, row0 = (t * p->B + own.first) * slots;
  Z count = (own.last - own.first) * slots, each = p->heads * slots * (slots + 1);
  const real *m = t ? p->out + (row0 - p->B * slots) * H : p->m0 + own.first * slots * H;
  real *qkv = p->qkv + row0 * 3 * H, *shown = p->shown + row0 * H, *x = p->p + row0 * G;
  real *read = p->read + row0 * H, *rows = p->rows + row0 * H;
  real *hidden = p->hidden + row0 * H, *done = p->done + row0 * H;
  for (Z i = 0; i < count * H; i++) shown[i] = tanh_(m[i]);
  for (Z i = 0; i < count; i++)
    fill_rows(x + i * G, G, p->gate_row + (t * p->B + own.first + i / slots) * wide,
              p->b_gate, 1, wide);
  product(shown, H, 1, packed(p->gate, H), x, G, count, wide, H);
  linear(m, p->project, p->b_project, qkv, 3 * H, count, 3 * H, H);
  memcpy(read, m, count * H * sizeof(real));
  for (Z b = own.first; b < own.last; b++) {
    Z first = (b - own.first) * slots;
    for (Z n = 0; n < slots; n++) {
      real *row = qkv + (first + n) * 3 * H;
      p->qkv_scale[row0 + first + n] = normed(row, 3 * H);
      scaled(room.qkv + n * 3 * H, row, p->g_project, p->s_project, 3 * H);
    }
    attend(rows_of(p, room.qkv, t, b), p->heads, p->weights + (t * p->B + b) * each,
           read + first * H);
  }
  for (Z i = 0; i < count; i++) {
    p->read_scale[row0 + i] = normed(read + i * H, H);
    scaled(rows + i * H, read + i * H, p->g_read, p->s_read, H);
  }
  linear(rows, p->first, p->b_first, hidden, H, count, H, H);
  for (Z i = 0; i < count * H; i++) hidden[i] = hidden[i] > 0 ? hidden[i] : 0;
  linear(hidden, p->second, p->b_second, done, H, count, H, H);
  add(done, rows, count * H);
  for (Z i = 0; i < count; i++) {
    const real *restrict x_ = x + i * G, *restrict n_ = p->noise + (row0 + i) * noises;
    const real *restrict c_ = m + i * H, *restrict h_ = c_, *restrict r_ = 0;
    const uint8_t *restrict kh_ = 0, *restrict kc_ = 0;
    const int alive0 = 1;
    real *restrict cn_ = p->out + (row0 + i) * H, *restrict hn_ = room.none;
    real *restrict out_ = room.none, *s_ = room.s;
    p->done_scale[row0 + i] = normed(done + i * H, H);
    scaled(x + i * G + wide, done + i * H, p->g_out, p->s_out, H);
    stage(x_, n_, at, nat, H, s_, room.few, room.soft);
    TOGETHER for (Z j = 0; j < H; j++) {
      /* FILL forward */
    }
    (void)r_; (void)n_; (void)c_; (void)h_; (void)kh_; (void)kc_; (void)alive0;
    (void)hn_; (void)cn_; (void)out_;
  }
}

/* a becomes the gradient of what was multiplied: d * panels, with nothing added. */
static void back(const real *d, Z ldd, const real *panels, real *a, Z rows, Z columns,
                 Z depth) {
  fill_rows(a, columns, 0, 0, rows, columns);
  product(d, ldd, 1, packed(panels, depth), a, columns, rows, columns, depth);
}

static void step_back(const Relation *p, Span own, Z t, Room room, real *sums) {
  Z H = p->H, slots = p->slots, at[BLOCKS], nat[NOISES + 1], G = places(H, at);
  Z noises = noise_places(H, nat), wide = G - H, row0 = (t * p->B + own.first) * slots;
  Z count = (own.last - own.first) * slots, each = p->heads * slots * (slots + 1);
  const real *m = t ? p->out + (row0 - p->B * slots) * H : p->m0 + own.first * slots * H;
  real *dm = p->dm + own.first * slots * H, *x = p->p + row0 * G;
  real *qkv = p->qkv + row0 * 3 * H, *read = p->read + row0 * H;
  real *hidden = p->hidden + row0 * H, *done = p->done + row0 * H;
  const real *shown = p->shown + row0 * H;
  for (Z i = 0; i < count; i++) {
    real *x_ = x + i * G, *r_ = 0;
    const real *restrict n_ = p->noise + (row0 + i) * noises;
    const real *restrict c_ = m + i * H, *restrict h_ = c_;
    const uint8_t *restrict kh_ = 0, *restrict kc_ = 0;
    const int alive0 = 1;
    const real sees = 1;
    const real *restrict dout_ = p->dout + (row0 + i) * H;
    real *restrict dh_ = room.none, *restrict dc_ = dm + i * H, *s_ = room.s;
    real *ds_ = room.ds;
    for (Z j = 0; j < H; j++) dh_[j] = 0;
    stage(x_, n_, at, nat, H, s_, room.few, room.soft);
    TOGETHER for (Z j = 0; j < H; j++) {
      /* FILL backward */
    }
    (void)r_; (void)n_; (void)c_; (void)h_; (void)kh_; (void)kc_; (void)alive0;
    (void)dh_; (void)dc_; (void)dout_; (void)sees;
    unstage(x_, n_, at, nat, H, room.few, room.soft, ds_);
  }
  back(x, G, p->gate, room.group, count, H, wide);
  for (Z i = 0; i < count * H; i++)
    dm[i] += room.group[i] * (1 - shown[i] * shown[i]);
  for (Z b = own.first; b < own.last; b++) {
    real *to = p->dgate_row + (t * p->B + b) * wide;
    const real *from = x + (b - own.first) * slots * G;
    memset(to, 0, wide * sizeof(real));
    for (Z n = 0; n < slots; n++) add(to, from + n * G, wide);
    add(sums + 15 * H, to, wide);
  }
  real *dhidden = room.group, *drows = room.other;
  for (Z i = 0; i < count; i++) {
    real *d = x + i * G + wide;
    unnormed(d, done + i * H, p->done_scale[row0 + i], p->g_out, sums, sums + H, H);
    add(sums + 14 * H, d, H);
    memcpy(done + i * H, d, H * sizeof(real));
  }
  back(done, H, p->second, dhidden, count, H, H);
  for (Z i = 0; i < count * H; i++) dhidden[i] = hidden[i] > 0 ? dhidden[i] : 0;
  for (Z i = 0; i < count; i++) add(sums + 13 * H, dhidden + i * H, H);
  back(dhidden, H, p->first, drows, count, H, H);
  add(drows, done, count * H);
  for (Z i = 0; i < count; i++) {
    unnormed(drows + i * H, read + i * H, p->read_scale[row0 + i], p->g_read,
             sums + 2 * H, sums + 3 * H, H);
    for (Z j = 0; j < H; j++) dm[i * H + j] += drows[i * H + j];
  }
  memcpy(read, dhidden, count * H * sizeof(real));
  for (Z b = own.first; b < own.last; b++) {
    Z first = (b - own.first) * slots;
    for (Z n = 0; n < slots; n++)
      scaled(room.qkv + n * 3 * H, qkv + (first + n) * 3 * H, p->g_project,
             p->s_project, 3 * H);
    unattend(rows_of(p, room.qkv, t, b), p->heads, p->weights + (t * p->B + b) * each,
             drows + first * H, room.dqkv, room.dw);
    for (Z n = 0; n < slots; n++) {
      real *d = room.dqkv + n * 3 * H, *row = qkv + (first + n) * 3 * H;
      unnormed(d, row, p->qkv_scale[row0 + first + n], p->g_project, sums + 4 * H,
               sums + 7 * H, 3 * H);
      add(sums + 10 * H, d, 3 * H);
      memcpy(row, d, 3 * H * sizeof(real));
    }
    memcpy(p->dentered + (t * p->B + b) * 3 * H, room.dqkv + slots * 3 * H,
           3 * H * sizeof(real));
  }
  back(qkv, 3 * H, p->project, room.third, count, H, 3 * H);
  add(dm, room.third, count * H);
}

/* A thread's sequences in groups, each through all steps. */
static Z group_of(const Relation *p, Span mine, Z b, Span *own) {
  Z size = GROUP / p->slots ? GROUP / p->slots : 1;
  *own = (Span){b, mine.last - b < size ? mine.last : b + size};
  return own->last;
}

static int relate_(const void *what, int part, int parts) {
  const Relation *p = what;
  Span mine = share(p->B, part, parts), own;
  for (Z b = mine.first; b < mine.last;) {
    b = group_of(p, mine, b, &own);
    for (Z t = 0; t < p->T; t++) step_on(p, own, t, room_of(p, part));
  }
  return 0;
}

FLUSHED(relate)

static int unrelate_(const void *what, int part, int parts) {
  const Relation *p = what;
  Z at[BLOCKS], G = places(p->H, at);
  Span mine = share(p->B, part, parts), own;
  for (Z b = mine.first; b < mine.last;) {
    b = group_of(p, mine, b, &own);
    for (Z t = p->T; t-- > 0;)
      step_back(p, own, t, room_of(p, part), p->sums + part * (14 * p->H + G));
  }
  return 0;
}

FLUSHED(unrelate)
