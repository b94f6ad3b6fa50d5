// shaders/dropout.wgsl: y = x * (u < keep) / keep, one u in [0, 1) for each element, drawn from row
// `at` of keys. Its own gradient: dx is the same of dy. x, y: n numbers; one thread an element, in
// a grid-stride loop.
struct Params { n: u32, at: u32, keep: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> keys: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

const WG: u32 = 64u;

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  let key = keys[p.at];
  for (var i = id.x; i < p.n; i += nwg.x * WG) {
    let kept = uniformF32(randomBits(key, i)) < p.keep;
    y[i] = x[i] * select(0.0, 1.0, kept) / p.keep; // NaN is not dropped
  }
}
