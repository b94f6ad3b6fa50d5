// shaders/optimizer.wgsl: counts a step on the device, so that replays count, too, and puts the scalars of an update side by
// side: a stage binds eight buffers at most.
@group(0) @binding(0) var<storage, read> lr: array<f32>;
@group(0) @binding(1) var<storage, read> itr: array<f32>;
@group(0) @binding(2) var<storage, read_write> step: array<f32>;
@group(0) @binding(3) var<storage, read_write> collected: array<f32>;
@compute @workgroup_size(1)
fn begin() {
  step[0] += 1.0;
  collected[0] = lr[0];
  collected[1] = itr[0];
  collected[2] = step[0];
}
