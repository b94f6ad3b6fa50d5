// shaders/standardize.wgsl: scaled weight standardization of many layers in one dispatch,
// y = (w - mean) * rsqrt(max(sum((w - mean)^2), eps)) * gain.
// Counted in F (vec4f where 4 divides a layer's columns, else f32): a layer's weight is rows x cols
// from `w` on, its result from `y`, its gain from `gain` (NONE: without one), its statistics from
// `stats`: `shift`, `off` and `v` of each column. A workgroup takes CX neighbouring columns; its
// thread (cx, sy) walks rows sy, sy + SY, ... of one, and the SY parts meet in workgroup memory, in a
// fixed order. The sum of squares is var * fan_in: the variance is the biased one.
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
// Rows are added in runs of 16 a thread, then the runs: long columns keep their digits.
const RUN: u32 = 16u;
const SAMPLES: u32 = 8u;
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

/** A thread's walk: its column, and which elements of `w`. */
struct Walk { col: u32, own: bool, begin: u32, end: u32, step: u32 }
fn walk_of(l: Layer, block: u32, lid: u32) -> Walk {
  let at = (block - l.first) * CX + lid % CX;
  let col = min(at, l.cols - 1u);
  let begin = l.w + lid / CX * l.cols + col;
  return Walk(col, at < l.cols, begin, l.w + l.rows * l.cols, SY * l.cols);
}

struct Sums { a: F, b: F }
var<workgroup> part_a: array<F, CX * SY>;
var<workgroup> part_b: array<F, CX * SY>;
/** Adds the sums of all threads of a column. */
fn total(own: Sums, lid: u32) -> Sums {
  if (SY == 1u) { return own; }
  part_a[lid] = own.a;
  part_b[lid] = own.b;
  workgroupBarrier();
  var s = Sums();
  for (var i = lid % CX; i < CX * SY; i += CX) {
    s.a += part_a[i];
    s.b += part_b[i];
  }
  workgroupBarrier();
  return s;
}

/** Sums of w - shift and of its squares. */
fn deviations(at: Walk, shift: F) -> Sums {
  var s = Sums();
  for (var a = at.begin; a < at.end; a += RUN * at.step) {
    var t = Sums();
    for (var i = a; i < min(a + RUN * at.step, at.end); i += at.step) {
      let d = w[i] - shift;
      t.a += d;
      t.b += d * d;
    }
    s.a += t.a;
    s.b += t.b;
  }
  return s;
}

var<workgroup> far: u32;

@compute @workgroup_size(CX * SY)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let l = layer_of(p.first + wid.x);
  let at = walk_of(l, p.first + wid.x, lid);
  let n = f32(l.rows);
  if (lid == 0u) { far = 0u; }
  workgroupBarrier();

  // The mean of some rows. A bound that is no constant keeps the loop rolled.
  let samples = min(l.rows, SAMPLES);
  let hop = l.rows / samples * l.cols;
  var shift = F();
  for (var k = 0u; k < samples; k++) { shift += w[l.w + at.col + k * hop]; }
  shift /= f32(samples);
  var s = total(deviations(at, shift), lid);
  var off = s.a / n;
  var v = s.b - n * off * off;
  // Further from the mean than 1.4 standard deviations: too much of the squares cancels.
  if (any(n * off * off > 2.0 * v)) { far = 1u; }
  if (workgroupUniformLoad(&far) == 1u) {
    shift += off;
    s = total(deviations(at, shift), lid);
    off = s.a / n;
    v = s.b - n * off * off;
  }

  var scale = inverseSqrt(max(v, F(p.eps)));
  if (l.gain != NONE) { scale *= gain[l.gain + at.col]; }
  if (!at.own) { return; }
  let to = l.y - l.w;
  for (var i = at.begin; i < at.end; i += at.step) {
    y[to + i] = ((w[i] - shift) - off) * scale;
  }
  if (lid >= CX) { return; }
  let i = l.stats + at.col;
  stats[i] = shift;
  stats[i + l.cols] = off;
  stats[i + 2u * l.cols] = v;
}

// `g` holds dy and gets dw. With d = w - mean, v = sum(d^2), inv = rsqrt(max(v, eps)),
// t = sum(dy * d): dgain = t * inv, dw = gain * inv * (dy - mean(dy) - [v > eps] * d * t * inv^2),
// half of the last term at v = eps. (d adds up to 0, so that t needs no mean of dy.)
@compute @workgroup_size(CX * SY)
fn backward(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let l = layer_of(p.first + wid.x);
  let at = walk_of(l, p.first + wid.x, lid);
  let shift = kept[l.stats + at.col];
  let off = kept[l.stats + l.cols + at.col];
  let v = kept[l.stats + 2u * l.cols + at.col];
  var s = Sums();
  for (var a = at.begin; a < at.end; a += RUN * at.step) {
    var t = Sums();
    for (var i = a; i < min(a + RUN * at.step, at.end); i += at.step) {
      let dy = g[p.g + i];
      t.a += dy;
      t.b += dy * ((w[i] - shift) - off);
    }
    s.a += t.a;
    s.b += t.b;
  }
  s = total(s, lid);
  if (!at.own) { return; }

  let eps = F(p.eps);
  let mean = s.a / f32(l.rows);
  let inv = inverseSqrt(max(v, eps));
  // As jnp.maximum shares its gradient.
  let share = select(select(F(), F(1.0), v > eps), F(0.5), v == eps);
  let pull = share * s.b * inv * inv;
  var scale = inv;
  if (l.gain != NONE) { scale *= gain[l.gain + at.col]; }
  for (var i = at.begin; i < at.end; i += at.step) {
    let dy = g[p.g + i];
    g[p.g + i] = scale * ((dy - mean) - ((w[i] - shift) - off) * pull);
  }
  if (lid >= CX || l.gain == NONE || p.gains == 0u) { return; }
  let i = p.dgain + l.gain + at.col;
  if (JOINED) { g[i] = s.b * inv; } else { dgain[i] = s.b * inv; }
}
