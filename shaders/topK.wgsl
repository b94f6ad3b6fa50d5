// shaders/topK.wgsl: the k greatest of each row of x[rows, n], in falling order, and the gradient: WG threads a row.
// Each turn finds the best of what comes after the last pick: n k / WG loads a thread, and no memory.
const WG: u32 = 64u;

struct Params {
  rows: u32,
  n: u32,
  k: u32,
}
@group(0) @binding(0) var<storage, read> x: array<u32>; // f32 as bits
@group(0) @binding(1) var<storage, read_write> values: array<u32>;
@group(0) @binding(2) var<storage, read_write> indices: array<u32>;
@group(0) @binding(0) var<storage, read> picked: array<u32>; // indices of the forward pass
@group(0) @binding(1) var<storage, read> dvalues: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

var<workgroup> best: array<vec2u, WG>; // order, index + 1

// Floats as integers of the same order. All NaN are equal and greatest, and -0 is less than 0.
fn orderOf(bits: u32) -> u32 {
  let number = select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
  return select(number, 0xffffffffu, (bits & 0x7fffffffu) > 0x7f800000u);
}
// Whether a comes before b: greater, or as great and further left. No branches.
fn before(a: vec2u, b: vec2u) -> bool { return (a.x > b.x) | ((a.x == b.x) & (a.y < b.y)); }

@compute @workgroup_size(WG)
fn forward(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let n = p.n; // read before the loops: compilers leave such loads where they stand
  for (var row = wid.x; row < p.rows; row += nwg.x) {
    let base = row * n;
    var last = vec2u(0xffffffffu, 0u); // before everything
    for (var turn = 0u; turn < p.k; turn++) {
      var mine = vec2u(0u, 0xffffffffu); // after everything
      for (var i = lid; i < n; i += WG) {
        let it = vec2u(orderOf(x[base + i]), i + 1u);
        mine = select(mine, it, before(it, mine) & before(last, it));
      }
      workgroupBarrier(); // whoever still reads the last turn's
      best[lid] = mine;
      workgroupBarrier();
      last = best[0];
      for (var l = 1u; l < WG; l++) { last = select(last, best[l], before(best[l], last)); }
      if (lid == 0u) {
        values[row * p.k + turn] = x[base + last.y - 1u];
        indices[row * p.k + turn] = last.y - 1u;
      }
    }
  }
}

// dx = 0, then dvalues at the picked places: no two of a row are equal.
@compute @workgroup_size(WG)
fn backward(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  for (var row = wid.x; row < p.rows; row += nwg.x) {
    for (var i = lid; i < p.n; i += WG) { dx[row * p.n + i] = 0.0; }
    storageBarrier();
    for (var j = lid; j < p.k; j += WG) {
      dx[row * p.n + picked[row * p.k + j]] = dvalues[row * p.k + j];
    }
  }
}
