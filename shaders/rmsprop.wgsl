// shaders/rmsprop.wgsl: RMSProp over the runs of one flat arena (lib/runs.wgsl). A workgroup takes one run.
const WG: u32 = 64u;
const FIRST: bool = true; // m is the momentum, which holds the learning rate, too
const SECOND: bool = true; // v is the mean square: always there
const EMA: bool = true;

struct Params {
  runs: u32,
  decay: f32, // of the mean square
  blend: f32, // 1 - decay
  momentum: f32,
  keep: f32, // EMA decay
  take: f32, // 1 - EMA decay
  warmup: u32,
}
@group(0) @binding(0) var<storage, read> runs: array<Run>;
@group(0) @binding(1) var<storage, read> g: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> w: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> m: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> v: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> ema: array<vec4f>;
@group(0) @binding(6) var<storage, read> lr: array<f32>;
@group(0) @binding(7) var<storage, read> itr: array<f32>;
@group(0) @binding(8) var<uniform> p: Params;

fn stepped(r: Rates, w: vec4f, g: vec4f, m: vec4f, v: vec4f) -> Stepped {
  var d = g;
  if (r.decay != 0.0) { d += w * r.decay; }
  let square = v * p.decay + p.blend * (d * d);
  var step = r.lr * d / sqrt(square + r.eps);
  if (FIRST) { step += m * p.momentum; }
  return Stepped(w - step, step, square);
}

@compute @workgroup_size(WG)
fn update(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let at = wid.y * nwg.x + wid.x;
  if (at >= p.runs) { return; }
  let run = runs[at];
  var r = Rates(lr[0] * run.rate, run.decay, run.eps, vec2f(1.0), vec2f(p.keep, p.take));
  if (p.warmup == 1u) { r.ema = warm(r.ema, itr[0]); }
  update_run(run, r, lid);
}
