// shaders/scaledActivation.wgsl: y = factor * act(x), dx = factor * dy * act'(x).
// forward, backward: n numbers as vec4f, a span (lib/span.wgsl) each workgroup; KIND picks the
// function, the others vanish.
// glu*: rows of 2 * width numbers make rows of width; one thread an element of y.
// logSoftmax*: rows of width numbers, a workgroup a row.
// At infinities as in JAX: gelu(-inf), silu(-inf), soft_sign(inf) are NaN; NaN stays NaN.
struct Params { n: u32, width: u32, factor: f32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> dy: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> dx: array<vec4f>;
@group(0) @binding(0) var<storage, read> xs: array<f32>;
@group(0) @binding(1) var<storage, read> dys: array<f32>;
@group(0) @binding(2) var<storage, read_write> ys: array<f32>;
@group(0) @binding(2) var<storage, read_write> dxs: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

const WG: u32 = 64u;
const IDENTITY: u32 = 0u;
const ELU: u32 = 1u;
const GELU: u32 = 2u;
const GELU_EXACT: u32 = 3u;
const LEAKY_RELU: u32 = 4u;
const LOG_SIGMOID: u32 = 5u;
const RELU: u32 = 6u;
const RELU6: u32 = 7u;
const SELU: u32 = 8u;
const SIGMOID: u32 = 9u;
const SILU: u32 = 10u;
const SOFT_SIGN: u32 = 11u;
const SOFTPLUS: u32 = 12u;
const TANH: u32 = 13u;
const KIND: u32 = GELU;

const SELU_SCALE = 1.0507009873554805;
const SELU_ALPHA = 1.6732632423543772;

// gelu's tanh form: 0.5 (1 + tanh(u)) is sigmoid(2u), so that one exponential and one division do.
// Twice sqrt(2/pi), and that times 0.044715.
const GELU_A = 1.5957691216057308;
const GELU_B = 0.07135481627260025;
// The same over log(2), for exp2.
const GELU_A2 = 2.302208198144325;
const GELU_B2 = 0.1029432395800235;

// Phi(x), the normal distribution function, and its density: exp(-x^2 / 2) R(|x|), R a polynomial
// in 1 / (1 + 0.35 |x|).
struct Normal { cumulative: vec4f, density: vec4f }
fn normal(x: vec4f) -> Normal {
  let e = exp(-0.5 * x * x);
  let w = 1.0 / (1.0 + 0.35 * abs(x));
  let low = 0.15914205 + w * (-0.25568673 + w * (0.14395864 - w * 0.029143294));
  let mid = 0.11983543 + w * (0.10549817 + w * (-0.023087204 + w * low));
  let r = w * (0.13962142 + w * (0.13986151 + w * mid));
  let tail = e * r;
  return Normal(select(tail, 1.0 - tail, x >= vec4f()), 0.3989422804 * e);
}

fn act(v: vec4f) -> vec4f {
  let zero = vec4f();
  if (KIND == ELU) { return select(v, expm1Negative(v), v <= zero); }
  if (KIND == GELU) {
    return v / (1.0 + exp2(v * (-GELU_A2 - GELU_B2 * (v * v))));
  }
  if (KIND == GELU_EXACT) { return v * normal(v).cumulative; }
  if (KIND == LEAKY_RELU) { return select(0.01 * v, v, v >= zero); }
  if (KIND == LOG_SIGMOID) { return select(v, zero, v >= zero) - log1pUnit(exp(-abs(v))); }
  if (KIND == RELU) { return select(v, zero, v <= zero); }
  if (KIND == RELU6) { return select(select(v, zero, v <= zero), vec4f(6.0), v >= vec4f(6.0)); }
  if (KIND == SELU) { return SELU_SCALE * select(v, SELU_ALPHA * expm1Negative(v), v <= zero); }
  if (KIND == SIGMOID) { return sigmoid(v); }
  if (KIND == SILU) { return v / (1.0 + exp(-v)); }
  if (KIND == SOFT_SIGN) { return v / (1.0 + abs(v)); }
  if (KIND == SOFTPLUS) { return softplus(v); }
  if (KIND == TANH) {
    let t = expm1Negative(-2.0 * abs(v));
    let r = t / (2.0 + t);
    return select(select(r, -r, v >= zero), v, isNan(v));
  }
  return v;
}

fn slope(v: vec4f) -> vec4f {
  let zero = vec4f();
  let one = vec4f(1.0);
  if (KIND == ELU) { return select(exp(v), one, v > zero); }
  if (KIND == GELU) {
    let q = v * v;
    let e = exp2(-abs(v * (GELU_A2 + GELU_B2 * q)));
    let u = v * (GELU_A + 3.0 * GELU_B * q);
    let r = 1.0 / (1.0 + e);
    let t = e * r;
    return select(t, r, v >= zero) + t * r * u;
  }
  if (KIND == GELU_EXACT) {
    let phi = normal(v);
    return phi.cumulative + v * phi.density;
  }
  if (KIND == LEAKY_RELU) { return select(0.01 * one, one, v >= zero); }
  if (KIND == LOG_SIGMOID) { return sigmoid(-v); }
  if (KIND == RELU) { return select(zero, one, v > zero); }
  if (KIND == RELU6) { return select(zero, one, (v > zero) & (v < vec4f(6.0))); }
  if (KIND == SELU) { return SELU_SCALE * select(SELU_ALPHA * exp(v), one, v > zero); }
  if (KIND == SIGMOID) { return sigmoidSlope(v); }
  if (KIND == SILU) {
    let e = exp(-abs(v));
    let r = 1.0 / (1.0 + e);
    let t = e * r;
    return select(t, r, v >= zero) + v * t * r;
  }
  if (KIND == SOFT_SIGN) {
    let d = 1.0 + abs(v);
    return 1.0 / (d * d);
  }
  if (KIND == SOFTPLUS) { return sigmoid(v); }
  if (KIND == TANH) { return 4.0 * sigmoidSlope(2.0 * v); }
  return one;
}

@compute @workgroup_size(WG)
fn forward(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let f = p.factor; // before the loop: compilers leave such loads where they stand
  let whole = p.n / 4u;
  let span = spanOf(whole, wid, nwg, lid);
  for (var i = span.first; i < span.end; i += WG) { y[i] = f * act(x[i]); }
  let rest = p.n % 4u;
  if (wid.x + lid == 0u && rest > 0u) {
    let v = f * act(x[whole]);
    y[whole].x = v.x;
    if (rest > 1u) { y[whole].y = v.y; }
    if (rest > 2u) { y[whole].z = v.z; }
  }
}

@compute @workgroup_size(WG)
fn backward(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let f = p.factor; // before the loop: compilers leave such loads where they stand
  let whole = p.n / 4u;
  let span = spanOf(whole, wid, nwg, lid);
  for (var i = span.first; i < span.end; i += WG) {
    let s = f * slope(x[i]); // before dy is loaded: a CPU has no registers to keep that meanwhile
    dx[i] = dy[i] * s;
  }
  let rest = p.n % 4u;
  if (wid.x + lid == 0u && rest > 0u) {
    let v = dy[whole] * (f * slope(x[whole]));
    dx[whole].x = v.x;
    if (rest > 1u) { dx[whole].y = v.y; }
    if (rest > 2u) { dx[whole].z = v.z; }
  }
}

@compute @workgroup_size(WG)
fn gluForward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  for (var i = id.x; i < p.n; i += nwg.x * WG) {
    let at = i + i / p.width * p.width;
    ys[i] = p.factor * (xs[at] * sigmoid(vec4f(xs[at + p.width])).x);
  }
}

@compute @workgroup_size(WG)
fn gluBackward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  for (var i = id.x; i < p.n; i += nwg.x * WG) {
    let at = i + i / p.width * p.width;
    let gate = vec4f(xs[at + p.width]);
    let d = p.factor * dys[i];
    dxs[at] = d * sigmoid(gate).x;
    dxs[at + p.width] = d * xs[at] * sigmoidSlope(gate).x;
  }
}

// The largest of a row, and the sum of exp(x - largest).
fn rowOf(begin: u32, lid: u32) -> vec2f {
  var m = xs[begin];
  for (var i = lid; i < p.width; i += WG) { m = max(m, xs[begin + i]); }
  m = rowMax(m, lid);
  var s = 0.0;
  for (var i = lid; i < p.width; i += WG) { s += expNegative(vec4f(xs[begin + i] - m)).x; }
  return vec2f(m, rowSum(s, lid));
}

@compute @workgroup_size(WG)
fn logSoftmaxForward(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let begin = (wid.y * nwg.x + wid.x) * p.width;
  if (begin >= p.n) { return; }
  let row = rowOf(begin, lid);
  let logSum = logNormal(vec4f(row.y)).x;
  for (var i = lid; i < p.width; i += WG) {
    ys[begin + i] = p.factor * ((xs[begin + i] - row.x) - logSum);
  }
}

@compute @workgroup_size(WG)
fn logSoftmaxBackward(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let begin = (wid.y * nwg.x + wid.x) * p.width;
  if (begin >= p.n) { return; }
  let row = rowOf(begin, lid);
  var s = 0.0;
  for (var i = lid; i < p.width; i += WG) { s += dys[begin + i]; }
  s = rowSum(s, lid);
  for (var i = lid; i < p.width; i += WG) {
    let softmax = expNegative(vec4f(xs[begin + i] - row.x)).x / row.y;
    dxs[begin + i] = p.factor * (dys[begin + i] - softmax * s);
  }
}
