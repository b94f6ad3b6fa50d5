// shaders/softmax.wgsl: softmax, or its logarithm, of each row of x[rows, n], and the gradient. WG threads a row, a few
// workgroups for all rows. Needs lib/width4 (n divisible by 4) or lib/width1, and lib/row or lib/row_subgroup.
const WG: u32 = 64u;
const LOG: bool = false;

struct Params {
  rows: u32,
  n: u32, // in V
}
@group(0) @binding(0) var<storage, read> x: array<V>;
@group(0) @binding(1) var<storage, read_write> y: array<V>;
@group(0) @binding(0) var<storage, read> out: array<V>; // y of the forward pass
@group(0) @binding(1) var<storage, read> dy: array<V>;
@group(0) @binding(2) var<storage, read_write> dx: array<V>;
@group(0) @binding(3) var<uniform> p: Params;

fn total(v: V) -> f32 {
  var sum = part(v, 0u);
  for (var i = 1u; i < WIDTH; i++) { sum += part(v, i); }
  return sum;
}
fn greatest(v: V) -> f32 {
  var m = part(v, 0u);
  for (var i = 1u; i < WIDTH; i++) { m = max(m, part(v, i)); }
  return m;
}
// The built-in exp may lose a NaN.
fn exponential(v: V) -> V {
  return select(exp(v), v, (bitcast<U>(v) & U(0x7fffffffu)) > U(0x7f800000u));
}

@compute @workgroup_size(WG)
fn forward(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let block = (p.rows + nwg.x - 1u) / nwg.x; // neighbours: rows apart would be new pages to a software adapter each time
  for (var row = wid.x * block; row < min((wid.x + 1u) * block, p.rows); row++) {
    let begin = row * p.n + lid;
    let end = (row + 1u) * p.n;
    // A thread's largest so far, and its sum of exp(x - largest): the row is read twice, not three times.
    var m = -3.4028234e38;
    var s = 0.0;
    for (var i = begin; i < end; i += WG) {
      let v = x[i];
      let top = max(m, greatest(v));
      s = s * exp(m - top) + total(exponential(v - top));
      m = top;
    }
    let top = rowMax(m, lid);
    let sum = rowSum(s * exp(m - top), lid);
    if (LOG) {
      let log_sum = log(sum);
      for (var i = begin; i < end; i += WG) { y[i] = (x[i] - top) - log_sum; }
    } else {
      let scale = 1.0 / sum; // brings a NaN back
      for (var i = begin; i < end; i += WG) { y[i] = exp(x[i] - top) * scale; }
    }
  }
}

// dx = y (dy - sum(y dy)); for the logarithm dx = dy - exp(y) sum(dy).
@compute @workgroup_size(WG)
fn backward(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let block = (p.rows + nwg.x - 1u) / nwg.x; // neighbours: rows apart would be new pages to a software adapter each time
  for (var row = wid.x * block; row < min((wid.x + 1u) * block, p.rows); row++) {
    let begin = row * p.n + lid;
    let end = (row + 1u) * p.n;
    var s = V();
    for (var i = begin; i < end; i += WG) {
      if (LOG) { s += dy[i]; } else { s += dy[i] * out[i]; }
    }
    let sum = V(rowSum(total(s), lid));
    for (var i = begin; i < end; i += WG) {
      if (LOG) { dx[i] = dy[i] - exponential(out[i]) * sum; } else { dx[i] = out[i] * (dy[i] - sum); }
    }
  }
}
