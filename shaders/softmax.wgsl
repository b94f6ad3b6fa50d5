// shaders/softmax.wgsl: softmax, or its logarithm, of each row of x[rows, n], and the gradient. WG threads a row, a few
// workgroups for all rows. Needs lib/width4 (n divisible by 4) or lib/width1, and lib/row or lib/row_subgroup.
// With PAIRS forward takes two rows at a time: a CPU's waits for one row's numbers are filled with the other's.
const WG: u32 = 64u;
const PAIRS: bool = false;
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
// The built-in exp and log may lose a NaN, and log(0) may be finite.
fn exponential(v: V) -> V {
  return select(exp(v), v, (bitcast<U>(v) & U(0x7fffffffu)) > U(0x7f800000u));
}
fn logarithm(v: f32) -> f32 {
  let number = select(log(v), -1.0 / v, v == 0.0);
  return select(number, v, (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u);
}

// A thread's largest so far, and its sum of exp(x - largest): the row is read twice, not three times.
struct Sum { top: f32, sum: f32 }
fn grown(s: Sum, v: V) -> Sum {
  let top = max(s.top, greatest(v));
  return Sum(top, s.sum * exp(s.top - top) + total(exponential(v - top)));
}
fn of_row(s: Sum, lid: u32) -> Sum {
  let top = rowMax(s.top, lid);
  let sum = rowSum(s.sum * exp(s.top - top), lid);
  if (LOG) { return Sum(top, logarithm(sum)); }
  return Sum(top, 1.0 / sum); // brings a NaN back
}
fn result(s: Sum, v: V) -> V {
  if (LOG) { return (v - s.top) - s.sum; }
  return exp(v - s.top) * s.sum;
}

@compute @workgroup_size(WG)
fn forward(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let each = select(1u, 2u, PAIRS);
  let groups = nwg.x * each;
  let block = (p.rows + groups - 1u) / groups * each; // neighbours: rows apart would be new pages to a software adapter
  for (var row = wid.x * block; row < min((wid.x + 1u) * block, p.rows); row += each) {
    let begin = row * p.n + lid;
    let end = (row + 1u) * p.n;
    let next = select(0u, p.n, row + 1u < p.rows); // the last of an odd number of rows is done twice
    var one = Sum(-3.4028234e38, 0.0);
    var two = one;
    if (PAIRS) {
      for (var i = begin; i < end; i += WG) {
        let v = x[i];
        let u = x[i + next];
        one = grown(one, v);
        two = grown(two, u);
      }
      two = of_row(two, lid);
    } else {
      for (var i = begin; i < end; i += WG) { one = grown(one, x[i]); }
    }
    one = of_row(one, lid);
    if (PAIRS) {
      for (var i = begin; i < end; i += WG) {
        let v = x[i];
        let u = x[i + next]; // before the first store, which it might have to wait for
        y[i] = result(one, v);
        y[i + next] = result(two, u);
      }
    } else {
      for (var i = begin; i < end; i += WG) { y[i] = result(one, x[i]); }
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
