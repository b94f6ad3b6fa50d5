// shaders/movingAverage.wgsl: hidden' = hidden * decay + value * (1 - decay), average' = hidden' / (1 - decay^counter'),
// counter' = counter + 1. n numbers in a grid-stride loop. Needs lib/exp: 1 - decay^counter' is -expm1 of the logarithm,
// since little is left of it where decay is near 1.
struct Params { n: u32, decay: f32, share: f32, logDecay: f32 }
@group(0) @binding(0) var<storage, read> value: array<f32>;
@group(0) @binding(1) var<storage, read> counter: array<f32>;
@group(0) @binding(2) var<storage, read> hidden: array<f32>;
@group(0) @binding(3) var<storage, read_write> nextCounter: array<f32>;
@group(0) @binding(4) var<storage, read_write> nextHidden: array<f32>;
@group(0) @binding(5) var<storage, read_write> nextAverage: array<f32>;
@group(0) @binding(6) var<uniform> p: Params;

const WG: u32 = 64u;

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  let steps = counter[0] + 1.0;
  let debias = -expm1Negative(vec4f(steps * p.logDecay)).x;
  if (id.x == 0u) { nextCounter[0] = steps; }
  for (var i = id.x; i < p.n; i += nwg.x * WG) {
    let h = hidden[i] * p.decay + value[i] * p.share;
    nextHidden[i] = h;
    nextAverage[i] = h / debias;
  }
}
