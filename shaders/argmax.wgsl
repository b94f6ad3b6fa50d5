// shaders/argmax.wgsl: y[outer, cols] = the first row of the greatest x[outer, rows, cols]. LANES neighbouring threads
// share one output, each with every LANES-th row.
const WG: u32 = 64u;
const LANES: u32 = 64u;

struct Params {
  outputs: u32, // outer * cols
  rows: u32,
  cols: u32,
}
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

var<workgroup> best: array<vec2u, WG>; // order, row

// Floats as integers of the same order. All NaN are equal and greatest, and -0 equals 0.
fn orderOf(bits: u32) -> u32 {
  let size = bits & 0x7fffffffu;
  let number = select(bits | 0x80000000u, ~bits, bits > 0x80000000u);
  return select(number, 0xffffffffu, size > 0x7f800000u);
}
fn better(a: vec2u, b: vec2u) -> vec2u {
  return select(a, b, (b.x > a.x) | ((b.x == a.x) & (b.y < a.y))); // no branches
}

@compute @workgroup_size(WG)
fn argmax(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let lane = lid % LANES;
  let i = (wid.y * nwg.x + wid.x) * (WG / LANES) + lid / LANES;
  let live = i < p.outputs;
  let rows = p.rows; // read before the loop: compilers leave such loads where they stand
  let cols = p.cols;
  let base = i / cols * rows * cols + i % cols;
  var mine = vec2u(0u, 0xffffffffu);
  if (live) {
    for (var r = lane; r < rows; r += LANES) {
      mine = better(mine, vec2u(orderOf(x[base + r * cols]), r));
    }
  }
  if (LANES > 1u) {
    best[lid] = mine;
    workgroupBarrier();
    if (lane == 0u) {
      for (var k = 1u; k < LANES; k++) { mine = better(mine, best[lid + k]); }
    }
  }
  if (live && lane == 0u) { y[i] = mine.y; }
}
