// shaders/standardize.wgsl: scaled weight standardization,
// y = (w - mean) * rsqrt(max(sum((w - mean)^2), eps)) * gain.
// w, y, dy, dw: rows x cols, cols counted in F (vec4f where 4 divides them, else f32); gain, dgain:
// cols. A workgroup takes CX neighbouring columns; its thread (cx, sy) walks rows sy, sy + SY, ...
// of one, and the SY parts meet in workgroup memory, in a fixed order. The sum of squares is
// var * fan_in: the variance is the biased one.
// The mean is one rounding off; the second pass also sums w - mean, whose mean `off` is what is
// missing. (Without it columns of almost equal values, which eps scales by up to 100, keep that
// rounding as their whole result.)
struct Params { rows: u32, cols: u32, eps: f32 }
@group(0) @binding(0) var<storage, read> w: array<F>;
@group(0) @binding(1) var<storage, read> gain: array<F>;
@group(0) @binding(2) var<storage, read_write> y: array<F>;
@group(0) @binding(2) var<storage, read> dy: array<F>;
@group(0) @binding(3) var<storage, read_write> dw: array<F>;
@group(0) @binding(4) var<storage, read_write> dgain: array<F>;
@group(0) @binding(5) var<uniform> p: Params;

alias F = vec4f;
const GAIN: bool = true; // else `gain` is bound to something, and not looked at
const CX: u32 = 8u;
const SY: u32 = 8u;
// Rows are added in runs of 16 a thread, then the runs: long columns keep their digits.
const RUN: u32 = 16u * SY;

var<workgroup> part: array<F, CX * SY>;
fn total(value: F, lid: u32) -> F {
  part[lid] = value;
  workgroupBarrier();
  var s = F();
  for (var i = lid % CX; i < CX * SY; i += CX) { s += part[i]; }
  workgroupBarrier();
  return s;
}

@compute @workgroup_size(CX * SY)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let col = wid.x * CX + lid % CX;
  let at = min(col, p.cols - 1u);
  let first = lid / CX;
  var s = F();
  for (var a = first; a < p.rows; a += RUN) {
    var t = F();
    for (var r = a; r < min(a + RUN, p.rows); r += SY) { t += w[r * p.cols + at]; }
    s += t;
  }
  let mean = total(s, lid) / f32(p.rows);
  s = F();
  var sd = F();
  for (var a = first; a < p.rows; a += RUN) {
    var t = F();
    var td = F();
    for (var r = a; r < min(a + RUN, p.rows); r += SY) {
      let d = w[r * p.cols + at] - mean;
      t += d * d;
      td += d;
    }
    s += t;
    sd += td;
  }
  let off = total(sd, lid) / f32(p.rows);
  let v = total(s, lid) - f32(p.rows) * off * off;
  var scale = inverseSqrt(max(v, F(p.eps)));
  if (GAIN) { scale *= gain[at]; }
  if (col < p.cols) {
    for (var r = first; r < p.rows; r += SY) {
      y[r * p.cols + col] = ((w[r * p.cols + col] - mean) - off) * scale;
    }
  }
}

// With d = w - mean, v = sum(d^2), inv = rsqrt(max(v, eps)), t = sum(dy * d): dgain = t * inv,
// dw = gain * inv * (dy - mean(dy) - [v > eps] * d * t * inv^2), half of the last term at v = eps.
@compute @workgroup_size(CX * SY)
fn backward(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let col = wid.x * CX + lid % CX;
  let at = min(col, p.cols - 1u);
  let first = lid / CX;
  var s = F();
  var sdy = F();
  for (var a = first; a < p.rows; a += RUN) {
    var t = F();
    var tdy = F();
    for (var r = a; r < min(a + RUN, p.rows); r += SY) {
      t += w[r * p.cols + at];
      tdy += dy[r * p.cols + at];
    }
    s += t;
    sdy += tdy;
  }
  let mean = total(s, lid) / f32(p.rows);
  let meanDy = total(sdy, lid) / f32(p.rows);
  s = F();
  sdy = F();
  var sd = F();
  for (var a = first; a < p.rows; a += RUN) {
    var t = F();
    var tdy = F();
    var td = F();
    for (var r = a; r < min(a + RUN, p.rows); r += SY) {
      let d = w[r * p.cols + at] - mean;
      t += d * d;
      // dy - meanDy adds up to 0, so that d needs no correction by `off` here.
      tdy += (dy[r * p.cols + at] - meanDy) * d;
      td += d;
    }
    s += t;
    sdy += tdy;
    sd += td;
  }
  let eps = F(p.eps);
  let off = total(sd, lid) / f32(p.rows);
  let v = total(s, lid) - f32(p.rows) * off * off;
  let t = total(sdy, lid);
  let inv = inverseSqrt(max(v, eps));
  // As jnp.maximum shares its gradient.
  let share = select(select(F(), F(1.0), v > eps), F(0.5), v == eps);
  let pull = share * t * inv * inv;
  var scale = inv;
  if (GAIN) { scale *= gain[at]; }
  if (col < p.cols) {
    for (var r = first; r < p.rows; r += SY) {
      let i = r * p.cols + col;
      dw[i] = scale * ((dy[i] - meanDy) - ((w[i] - mean) - off) * pull);
    }
    if (first == 0u) { dgain[col] = t * inv; }
  }
}
