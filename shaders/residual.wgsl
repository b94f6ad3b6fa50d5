// shaders/residual.wgsl: y = x * (alpha * gain) + shortcut;
// dx = dy * (alpha * gain), dgain = alpha * sum(dy * x).
// x, shortcut, y, dy, dx: n numbers as vec4f, a span (lib/span.wgsl) each workgroup. backwardGain also leaves each workgroup's part of the sum in `parts`, which
// sumParts adds up, in one workgroup.
struct Params { n: u32, alpha: f32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> shortcut: array<vec4f>;
@group(0) @binding(1) var<storage, read> dy: array<vec4f>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> parts: array<f32>;
@group(0) @binding(5) var<storage, read> partsDone: array<f32>;
@group(0) @binding(6) var<storage, read_write> dgain: array<f32>;
@group(0) @binding(7) var<uniform> p: Params;

const WG: u32 = 64u;
const GAIN: bool = true; // else `gain` is bound to something, and not looked at
fn factor() -> f32 { return p.alpha * select(1.0, gain[0], GAIN); }

@compute @workgroup_size(WG)
fn forward(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let f = factor();
  let whole = p.n / 4u;
  let span = spanOf(whole, wid, nwg, lid);
  for (var i = span.first; i < span.end; i += WG) { y[i] = x[i] * f + shortcut[i]; }
  let rest = p.n % 4u;
  if (wid.x + lid == 0u && rest > 0u) {
    let v = x[whole] * f + shortcut[whole];
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
  let f = factor();
  let whole = p.n / 4u;
  let span = spanOf(whole, wid, nwg, lid);
  for (var i = span.first; i < span.end; i += WG) { dx[i] = dy[i] * f; }
  let rest = p.n % 4u;
  if (wid.x + lid == 0u && rest > 0u) {
    let v = dy[whole] * f;
    dx[whole].x = v.x;
    if (rest > 1u) { dx[whole].y = v.y; }
    if (rest > 2u) { dx[whole].z = v.z; }
  }
}

// A sum over a whole activation, with cancellation: a thread adds runs of 16, then the runs, then
// a workgroup its threads, then one workgroup the parts of all.
@compute @workgroup_size(WG)
fn backwardGain(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let f = factor();
  let whole = p.n / 4u;
  let span = spanOf(whole, wid, nwg, lid);
  var s = vec4f();
  for (var a = span.first; a < span.end; a += 16u * WG) {
    var t = vec4f();
    for (var i = a; i < min(a + 16u * WG, span.end); i += WG) {
      let d = dy[i];
      t += d * x[i];
      dx[i] = d * f;
    }
    s += t;
  }
  let rest = p.n % 4u;
  if (wid.x + lid == 0u && rest > 0u) {
    let v = dy[whole] * f;
    let t = dy[whole] * x[whole];
    dx[whole].x = v.x;
    s.x += t.x;
    if (rest > 1u) {
      dx[whole].y = v.y;
      s.y += t.y;
    }
    if (rest > 2u) {
      dx[whole].z = v.z;
      s.z += t.z;
    }
  }
  let sum = rowSum((s.x + s.y) + (s.z + s.w), lid);
  if (lid == 0u) { parts[wid.x] = sum; }
}

@compute @workgroup_size(WG)
fn sumParts(@builtin(local_invocation_index) lid: u32) {
  var s = 0.0;
  for (var i = lid; i < p.n; i += WG) { s += partsDone[i]; }
  s = rowSum(s, lid);
  if (lid == 0u) { dgain[0] = p.alpha * s; }
}
