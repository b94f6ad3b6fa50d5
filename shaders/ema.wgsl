// shaders/ema.wgsl: ema = ema * decay + w * (1 - decay) over the tensors of one flat arena.
// A workgroup takes one run of a tensor's elements: thread l its vec4 start + l, start + l + WG, ...
const WG: u32 = 64u;

struct Params {
  runs: u32,
  decay: f32,
  take: f32, // 1 - decay
  warmup: u32,
}
struct Run {
  start: u32, // first vec4
  end: u32, // vec4s end here
  tail: u32, // elements behind them
}
@group(0) @binding(0) var<storage, read> runs: array<Run>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> ema: array<vec4f>;
@group(0) @binding(3) var<storage, read> itr: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn average(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let at = wid.y * nwg.x + wid.x;
  if (at >= p.runs) { return; }
  let r = runs[at];
  var decay = vec2f(p.decay, p.take);
  if (p.warmup == 1u) { decay = warm(decay, itr[0]); }
  for (var i = r.start + lid; i < r.end; i += WG) {
    ema[i] = ema[i] * decay.x + w[i] * decay.y;
  }
  if (lid < r.tail) {
    ema[r.end][lid] = ema[r.end][lid] * decay.x + w[r.end][lid] * decay.y;
  }
}
