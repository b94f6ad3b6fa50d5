// shaders/map.wgsl: y[n] = f(a, b, c), where each of a, b, c is [n] (a step of 1) or a scalar (a step of 0, its type u32).
// Four elements a turn, in a loop whose length the compiler does not know: threads are few where workgroups cost.
// f is in lib/elementwise.wgsl; needs lib/width4.wgsl and lib/span.wgsl.
const WG: u32 = 64u;
const OP: u32 = IDENTITY;
const NUMBERS: u32 = NONE;
alias A = vec4u;
alias B = vec4u;
alias C = vec4u;
const A_STEP: u32 = 1u;
const B_STEP: u32 = 1u;
const C_STEP: u32 = 1u;

struct Params {
  n: u32,
  s: u32,
  t: u32,
}
@group(0) @binding(0) var<storage, read> a: array<A>;
@group(0) @binding(1) var<storage, read> b: array<B>;
@group(0) @binding(2) var<storage, read> c: array<C>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4u>;
@group(0) @binding(4) var<uniform> p: Params;

// The last vector: nothing may be written behind the tensor.
fn put(i: u32, v: vec4u) {
  let rest = p.n % 4u;
  y[i].x = v.x;
  if (rest > 1u) { y[i].y = v.y; }
  if (rest > 2u) { y[i].z = v.z; }
}

@compute @workgroup_size(WG)
fn map1(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let full = p.n / 4u;
  let span = spanOf(full, wid, nwg, lid);
  for (var i = span.first; i < span.end; i += WG) { y[i] = f1(vec4u(a[i * A_STEP])); }
  if (wid.x + lid == 0u && p.n % 4u > 0u) { put(full, f1(vec4u(a[full * A_STEP]))); }
}

@compute @workgroup_size(WG)
fn map2(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let full = p.n / 4u;
  let span = spanOf(full, wid, nwg, lid);
  for (var i = span.first; i < span.end; i += WG) {
    y[i] = f2(vec4u(a[i * A_STEP]), vec4u(b[i * B_STEP]));
  }
  if (wid.x + lid == 0u && p.n % 4u > 0u) {
    put(full, f2(vec4u(a[full * A_STEP]), vec4u(b[full * B_STEP])));
  }
}

@compute @workgroup_size(WG)
fn map3(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let full = p.n / 4u;
  let span = spanOf(full, wid, nwg, lid);
  for (var i = span.first; i < span.end; i += WG) {
    y[i] = f3(vec4u(a[i * A_STEP]), vec4u(b[i * B_STEP]), vec4u(c[i * C_STEP]));
  }
  if (wid.x + lid == 0u && p.n % 4u > 0u) {
    put(full, f3(vec4u(a[full * A_STEP]), vec4u(b[full * B_STEP]), vec4u(c[full * C_STEP])));
  }
}
