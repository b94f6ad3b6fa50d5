// shaders/sam.wgsl: the two kernels of sharpness-aware minimization over one flat arena: the square sum of each run of a
// gradient, and the step uphill. A workgroup takes one run of a parameter's elements: thread l its vec4 start + l, ...
const WG: u32 = 64u;

struct Params {
  runs: u32,
  rho: f32,
}
struct Run {
  start: u32, // first vec4
  end: u32, // vec4s end here
  tail: u32, // elements behind them
}
@group(0) @binding(0) var<storage, read> runs: array<Run>;
@group(0) @binding(1) var<storage, read> g: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> w: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> partial: array<f32>;
@group(0) @binding(4) var<storage, read> total: array<f32>; // the square of the gradient's norm over all arenas
@group(0) @binding(5) var<uniform> p: Params;

var<workgroup> shared_sums: array<f32, WG>;

@compute @workgroup_size(WG)
fn squares(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let at = wid.y * nwg.x + wid.x;
  if (at >= p.runs) { return; }
  let run = runs[at];
  var s = 0.0;
  for (var i = run.start + lid; i < run.end; i += WG) { s += dot(g[i], g[i]); }
  if (lid < run.tail) { s += g[run.end][lid] * g[run.end][lid]; }
  shared_sums[lid] = s;
  workgroupBarrier();
  if (lid > 0u) { return; }
  for (var i = 1u; i < WG; i++) { s += shared_sums[i]; }
  partial[at] = s;
}

@compute @workgroup_size(WG)
fn climb(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let at = wid.y * nwg.x + wid.x;
  if (at >= p.runs) { return; }
  let run = runs[at];
  let far = p.rho / (sqrt(total[0]) + 1e-12);
  for (var i = run.start + lid; i < run.end; i += WG) { w[i] += g[i] * far; }
  if (lid < run.tail) { w[run.end][lid] += g[run.end][lid] * far; }
}
