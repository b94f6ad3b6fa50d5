// shaders/stochDepth.wgsl: y = (x / divisor) * floor(keep + u), one u in [0, 1) for each image,
// drawn from row `at` of keys. Its own gradient: dx is the same of dy. x, y: images x size numbers,
// counted in F (vec4f where 4 divides them, else f32). Grid: y is the image, x a grid-stride loop
// over it.
struct Params { size: u32, images: u32, at: u32, keep: f32, divisor: f32 }
@group(0) @binding(0) var<storage, read> x: array<F>;
@group(0) @binding(1) var<storage, read> keys: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> y: array<F>;
@group(0) @binding(3) var<uniform> p: Params;

alias F = vec4f;
const WG: u32 = 64u;

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  for (var image = id.y; image < p.images; image += nwg.y) {
    let mask = floor(p.keep + uniformF32(randomBits(keys[p.at], image)));
    let base = image * p.size;
    for (var i = id.x; i < p.size; i += nwg.x * WG) {
      y[base + i] = x[base + i] / p.divisor * mask;
    }
  }
}
