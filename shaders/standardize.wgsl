// shaders/standardize.wgsl: scaled weight standardization of many layers in one dispatch,
// y = (w - mean) * rsqrt(max(sum((w - mean)^2), eps)) * gain.
// Counted in F (vec4f where 4 divides a layer's columns, else f32): a layer's weight is rows x cols
// from `w` on, its result from `y`, its gain from `gain` (NONE: without one), its statistics from
// `stats`: `shift`, `off` and `v` of each column. A workgroup takes CX neighbouring columns, with TWO
// twice as many; its thread (cx, sy) walks rows sy, sy + SY, ... of column cx, with TWO of column
// cx + CX beside it, and the SY parts meet in workgroup memory, in a fixed order. TWO is for a CPU: rows
// lie pages apart, and the more of a page a turn takes, the better. Forward adds two rows a turn there, too.
// Needs lib/columns_alone (SY is 1) or lib/columns_barrier.
// The sum of squares is var * fan_in: the variance is the biased one.
// One walk gives mean and variance: values are counted from `shift`, which is near the mean, so that
// little cancels; what is missing to the mean is `off`. Both are kept, since columns of almost equal
// values, which eps scales by up to 100, would have the rounding of one as their whole result.
struct Params {
  count: u32, // layers in the table
  first: u32, // of all their workgroups, the first that runs
  rows: u32, // the four are of the one layer where there is no table
  cols: u32,
  gain: u32,
  eps: f32,
  g: u32, // from a weight's place to its gradient's
  dgain: u32, // from a gain's place to its gradient's
  gains: u32, // 1: the gain's gradient is wanted
}
struct Layer { first: u32, rows: u32, cols: u32, w: u32, y: u32, gain: u32, stats: u32 }
@group(0) @binding(0) var<storage, read> layers: array<u32>; // WORDS each, as Layer
@group(0) @binding(1) var<storage, read> w: array<F>;
@group(0) @binding(2) var<storage, read> gain: array<F>;
@group(0) @binding(3) var<storage, read_write> y: array<F>;
@group(0) @binding(3) var<storage, read_write> g: array<F>;
@group(0) @binding(4) var<storage, read_write> stats: array<F>;
@group(0) @binding(4) var<storage, read> kept: array<F>;
@group(0) @binding(5) var<storage, read_write> dgain: array<F>;
@group(0) @binding(6) var<uniform> p: Params;

alias F = vec4f;
const TABLE: bool = true; // else one layer, whose tensors begin at 0
const JOINED: bool = true; // the gains' gradients lie in `g`; else in `dgain`
const CX: u32 = 8u;
const SY: u32 = 1u;
const TWO: bool = true;
// Turns are added in runs of 16 a thread, then the runs: long columns keep their digits.
const RUN: u32 = 16u;
// The mean of so many rows is `shift`. `off` is rounded like any sum, and the inputs of a product share its error:
// with 8 (a third of a deviation from the mean) whole networks were 1.35 times as far from f64.
const SAMPLES: u32 = 32u;
const WORDS: u32 = 7u;
const NONE: u32 = 0xffffffffu;

/** The layer of a workgroup. */
fn layer_of(block: u32) -> Layer {
  if (!TABLE) { return Layer(0u, p.rows, p.cols, 0u, 0u, p.gain, 0u); }
  var low = 0u;
  var high = p.count;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (layers[WORDS * middle] <= block) { low = middle; } else { high = middle; }
  }
  let i = WORDS * low;
  return Layer(layers[i], layers[i + 1u], layers[i + 2u], layers[i + 3u], layers[i + 4u],
    layers[i + 5u], layers[i + 6u]);
}

/**
 * A thread's walk: its first column, which elements of `w` (the last of one thread a column is at `last`), and how far
 * its second column lies from these: 0 where there is no second one, so that the first is done twice.
 */
struct Walk { col: u32, own: bool, begin: u32, last: u32, end: u32, step: u32, next: u32 }
fn walk_of(l: Layer, block: u32, lid: u32) -> Walk {
  let at = (block - l.first) * select(CX, 2u * CX, TWO) + lid % CX;
  let col = min(at, l.cols - 1u);
  let begin = l.w + lid / CX * l.cols + col;
  let next = select(0u, CX, at + CX < l.cols);
  let end = l.w + l.rows * l.cols;
  return Walk(col, at < l.cols, begin, end - l.cols + col, end, SY * l.cols, next);
}

struct Sums { a: F, b: F }
struct Both { one: Sums, two: Sums } // of a thread's two columns
fn plus(s: Sums, a: F, b: F) -> Sums { return Sums(s.a + a, s.b + b); }
fn joined(s: Both, t: Both) -> Both {
  var sum = Both(plus(s.one, t.one.a, t.one.b), s.two);
  if (TWO) { sum.two = plus(s.two, t.two.a, t.two.b); }
  return sum;
}

fn totals(own: Both, lid: u32) -> Both {
  var s = Both(column_total(own.one, lid), own.two);
  if (TWO) { s.two = column_total(own.two, lid); }
  return s;
}

/** What is known of a column: its mean is shift + off, its sum of squares v. */
struct Column { shift: F, off: F, v: F }
fn column(shift: F, s: Sums, n: f32) -> Column {
  let off = s.a / n;
  return Column(shift, off, s.b - n * off * off);
}
fn centred(c: Column, value: F) -> F { return (value - c.shift) - c.off; }
fn scale_of(c: Column, l: Layer, col: u32) -> F {
  let scale = inverseSqrt(max(c.v, F(p.eps)));
  if (l.gain == NONE) { return scale; }
  return scale * gain[l.gain + col];
}

/** The mean of some rows, over all threads of a column. A bound that is no constant keeps the loop rolled. */
fn sampled(l: Layer, at: Walk, lid: u32) -> Both {
  let samples = min(l.rows, SAMPLES);
  let hop = l.rows / samples * l.cols;
  var s = Both();
  for (var k = lid / CX; k < samples; k += SY) {
    let i = l.w + at.col + k * hop;
    s.one.a += w[i];
    if (TWO) { s.two.a += w[i + at.next]; }
  }
  s = totals(s, lid);
  s.one.a /= f32(samples);
  s.two.a /= f32(samples);
  return s;
}

/** Sums of w - shift and of its squares, of both columns. */
fn deviations(at: Walk, one: F, two: F, lid: u32) -> Both {
  var s = Both();
  let turn = select(1u, 2u, TWO) * at.step;
  for (var a = at.begin; a < at.end; a += RUN * turn) {
    var t = Both();
    let end = min(a + RUN * turn, at.end);
    for (var i = a; i < end; i += turn) {
      let d = w[i] - one;
      if (TWO) {
        let j = min(i + at.step, at.last); // the next row, if there is one
        let more = i + at.step < at.end;
        let below = select(F(), w[j] - one, more);
        t.one = plus(t.one, d + below, d * d + below * below);
        let e = w[i + at.next] - two;
        let other = select(F(), w[j + at.next] - two, more);
        t.two = plus(t.two, e + other, e * e + other * other);
      } else {
        t.one = plus(t.one, d, d * d);
      }
    }
    s = joined(s, t);
  }
  return totals(s, lid);
}

/** Further from the mean than 1.4 standard deviations: too much of the squares cancels. */
fn is_far(c: Column, n: f32) -> bool { return any(n * c.off * c.off > 2.0 * c.v); }

fn keep(c: Column, l: Layer, col: u32) {
  let i = l.stats + col;
  stats[i] = c.shift;
  stats[i + l.cols] = c.off;
  stats[i + 2u * l.cols] = c.v;
}

@compute @workgroup_size(CX * SY)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let l = layer_of(p.first + wid.x);
  let at = walk_of(l, p.first + wid.x, lid);
  let n = f32(l.rows);

  let shift = sampled(l, at, lid);
  var s = deviations(at, shift.one.a, shift.two.a, lid);
  var one = column(shift.one.a, s.one, n);
  var two = column(shift.two.a, s.two, n);
  if (any_thread(is_far(one, n) || (TWO && is_far(two, n)), lid)) {
    s = deviations(at, one.shift + one.off, two.shift + two.off, lid);
    one = column(one.shift + one.off, s.one, n);
    two = column(two.shift + two.off, s.two, n);
  }

  let scale = scale_of(one, l, at.col);
  var other = F();
  if (TWO) { other = scale_of(two, l, at.col + at.next); }
  if (!at.own) { return; }
  let to = l.y - l.w;
  for (var i = at.begin; i < at.end; i += at.step) {
    y[to + i] = centred(one, w[i]) * scale;
    if (TWO) { y[to + i + at.next] = centred(two, w[i + at.next]) * other; }
  }
  if (lid >= CX) { return; }
  keep(one, l, at.col);
  if (TWO) { keep(two, l, at.col + at.next); }
}

// `g` holds dy and gets dw. With d = w - mean, v = sum(d^2), inv = rsqrt(max(v, eps)),
// t = sum(dy * d): dgain = t * inv, dw = gain * inv * (dy - mean(dy) - [v > eps] * d * t * inv^2),
// half of the last term at v = eps. (d adds up to 0, so that t needs no mean of dy.)
fn column_kept(l: Layer, col: u32) -> Column {
  let i = l.stats + col;
  return Column(kept[i], kept[i + l.cols], kept[i + 2u * l.cols]);
}

struct Slope { mean: F, pull: F, scale: F }
fn slope_of(c: Column, s: Sums, l: Layer, col: u32) -> Slope {
  let eps = F(p.eps);
  // As jnp.maximum shares its gradient.
  let share = select(select(F(), F(1.0), c.v > eps), F(0.5), c.v == eps);
  return Slope(s.a / f32(l.rows), share * s.b / max(c.v, eps), scale_of(c, l, col));
}
fn slope(k: Slope, c: Column, dy: F, value: F) -> F {
  return k.scale * ((dy - k.mean) - centred(c, value) * k.pull);
}
fn keep_gain(c: Column, s: Sums, l: Layer, col: u32) {
  let i = p.dgain + l.gain + col;
  let d = s.b * inverseSqrt(max(c.v, F(p.eps)));
  if (JOINED) { g[i] = d; } else { dgain[i] = d; }
}

@compute @workgroup_size(CX * SY)
fn backward(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let l = layer_of(p.first + wid.x);
  let at = walk_of(l, p.first + wid.x, lid);
  let to = p.g; // before the loop: compilers leave such loads where they stand
  let one = column_kept(l, at.col);
  var two = Column();
  if (TWO) { two = column_kept(l, at.col + at.next); }
  var s = Both();
  for (var a = at.begin; a < at.end; a += RUN * at.step) {
    var t = Both();
    let end = min(a + RUN * at.step, at.end);
    for (var i = a; i < end; i += at.step) {
      let dy = g[to + i];
      t.one = plus(t.one, dy, dy * centred(one, w[i]));
      if (TWO) {
        let dz = g[to + i + at.next];
        t.two = plus(t.two, dz, dz * centred(two, w[i + at.next]));
      }
    }
    s = joined(s, t);
  }
  s = totals(s, lid);
  if (!at.own) { return; }

  let first = slope_of(one, s.one, l, at.col);
  var other = Slope();
  if (TWO) { other = slope_of(two, s.two, l, at.col + at.next); }
  for (var i = at.begin; i < at.end; i += at.step) {
    let dy = g[to + i];
    var dz = F();
    if (TWO) { dz = g[to + i + at.next]; } // before the first is written: they may be the same
    g[to + i] = slope(first, one, dy, w[i]);
    if (TWO) { g[to + i + at.next] = slope(other, two, dz, w[i + at.next]); }
  }
  if (lid >= CX || l.gain == NONE || p.gains == 0u) { return; }
  keep_gain(one, s.one, l, at.col);
  if (TWO) { keep_gain(two, s.two, l, at.col + at.next); }
}
