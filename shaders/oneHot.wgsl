// shaders/oneHot.wgsl: y[n, classes] = 1 where the class is the label of the row, else 0. One thread takes every
// (number of threads)-th element.
const WG: u32 = 64u;

struct Params {
  size: u32,
  classes: u32,
}
@group(0) @binding(0) var<storage, read> labels: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn oneHot(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  let classes = p.classes; // read before the loop: compilers leave such loads where they stand
  for (var i = id.x; i < p.size; i += nwg.x * WG) {
    y[i] = select(0.0, 1.0, labels[i / classes] == i % classes);
  }
}
