// shaders/crossEntropy.wgsl: losses from logits, and their gradients.
// losses, backward, backwardLabels: rows of `classes` logits, a workgroup a row; labels are u32
// indices, one a row, or (SOFT) f32 weights, one a class. The target is y = keep * label + base,
// with label smoothing s: keep = 1 - s, base = s / classes. loss = -sum(y * logSoftmax(x)), as in
// the reference even where y is 0 and x is -inf (NaN).
// sigmoid*: n independent numbers in a grid-stride loop.
// sumParts adds n numbers in one workgroup.
struct Params { n: u32, classes: u32, keep: f32, base: f32, factor: f32, each: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(1) var<storage, read> targets: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;
@group(0) @binding(4) var<storage, read_write> dlabels: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;

const WG: u32 = 64u;
const SOFT: bool = false;
var<private> nanBits: u32 = 0x7fc00000u; // WGSL has no NaN constant

fn target_(row: u32, i: u32) -> f32 {
  if (SOFT) { return p.keep * bitcast<f32>(labels[row * p.classes + i]) + p.base; }
  return select(p.base, p.keep + p.base, labels[row] == i);
}
// NaN for a label that is no class, else 0.
fn fault(row: u32) -> f32 {
  if (SOFT) { return 0.0; }
  return select(0.0, bitcast<f32>(nanBits), labels[row] >= p.classes);
}

// The largest logit of a row, and the sum of exp(x - largest).
struct Row { top: f32, sum: f32 }
fn rowOf(begin: u32, lid: u32) -> Row {
  var m = x[begin];
  for (var i = lid; i < p.classes; i += WG) { m = max(m, x[begin + i]); }
  m = rowMax(m, lid);
  var s = 0.0;
  for (var i = lid; i < p.classes; i += WG) { s += expNegative(vec4f(x[begin + i] - m)).x; }
  return Row(m, rowSum(s, lid));
}
fn logOf(x: f32) -> f32 { return logNormal(vec4f(x)).x; }

@compute @workgroup_size(WG)
fn losses(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let row = wid.y * nwg.x + wid.x;
  if (row >= p.n) { return; }
  let begin = row * p.classes;
  let r = rowOf(begin, lid);
  let logSum = logOf(r.sum);
  var s = 0.0;
  for (var i = lid; i < p.classes; i += WG) {
    s += target_(row, i) * ((x[begin + i] - r.top) - logSum);
  }
  s = rowSum(s, lid);
  if (lid == 0u) { y[row] = fault(row) - s; }
}

// dx = (softmax * sum(y) - y) * g
@compute @workgroup_size(WG)
fn backward(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let row = wid.y * nwg.x + wid.x;
  if (row >= p.n) { return; }
  let begin = row * p.classes;
  let r = rowOf(begin, lid);
  var s = 0.0;
  for (var i = lid; i < p.classes; i += WG) { s += target_(row, i); }
  s = rowSum(s, lid);
  let g = dy[row * p.each] * p.factor + fault(row);
  for (var i = lid; i < p.classes; i += WG) {
    let softmax = expNegative(vec4f(x[begin + i] - r.top)).x / r.sum;
    dx[begin + i] = (softmax * s - target_(row, i)) * g;
  }
}

// dlabels = -keep * logSoftmax(x) * g, for labels that are weights.
@compute @workgroup_size(WG)
fn backwardLabels(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let row = wid.y * nwg.x + wid.x;
  if (row >= p.n) { return; }
  let begin = row * p.classes;
  let r = rowOf(begin, lid);
  let logSum = logOf(r.sum);
  let g = -p.keep * p.factor * dy[row * p.each];
  for (var i = lid; i < p.classes; i += WG) {
    dlabels[begin + i] = g * ((x[begin + i] - r.top) - logSum);
  }
}

// softplus(x) - x t is -(t log sigmoid(x) + (1 - t) log sigmoid(-x)).
fn sigmoidLoss(i: u32) -> f32 { return softplus(vec4f(x[i])).x - x[i] * targets[i]; }

@compute @workgroup_size(WG)
fn sigmoidLosses(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  for (var i = id.x; i < p.n; i += nwg.x * WG) { y[i] = sigmoidLoss(i); }
}

@compute @workgroup_size(WG)
fn sigmoidParts(
  @builtin(global_invocation_id) id: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(workgroup_id) wid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let step = nwg.x * WG;
  var s = 0.0;
  // Runs of 16, then the runs: long sums keep their digits.
  for (var a = id.x; a < p.n; a += 16u * step) {
    var t = 0.0;
    for (var i = a; i < min(a + 16u * step, p.n); i += step) { t += sigmoidLoss(i); }
    s += t;
  }
  s = rowSum(s, lid);
  if (lid == 0u) { y[wid.x] = s; }
}

@compute @workgroup_size(WG)
fn sigmoidBackward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  for (var i = id.x; i < p.n; i += nwg.x * WG) {
    let g = dy[i * p.each] * p.factor;
    dx[i] = (sigmoid(vec4f(x[i])).x - targets[i]) * g;
    dlabels[i] = -x[i] * g;
  }
}

@compute @workgroup_size(WG)
fn sumParts(@builtin(local_invocation_index) lid: u32) {
  var s = 0.0;
  for (var a = lid; a < p.n; a += 16u * WG) {
    var t = 0.0;
    for (var i = a; i < min(a + 16u * WG, p.n); i += WG) { t += x[i]; }
    s += t;
  }
  s = rowSum(s, lid);
  if (lid == 0u) { y[0] = s * p.factor; }
}
