// shaders/adam.wgsl: Adam and AdamW over the runs of one flat arena (lib/runs.wgsl). A workgroup takes one run.
const WG: u32 = 64u;
const FIRST: bool = true; // m is exp_avg; else the gradient takes its place
const SECOND: bool = true; // v is exp_avg_sq; else |gradient| takes its root's
const DECOUPLED: bool = false; // AdamW: weight decay shrinks w instead of adding to the gradient
const EMA: bool = true;

struct Params {
  runs: u32,
  beta1: f32,
  take1: f32, // 1 - beta1
  log1: f32, // log(beta1)
  beta2: f32,
  take2: f32,
  log2: f32,
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
@group(0) @binding(6) var<storage, read> scalars: array<f32>; // lr, itr, step
@group(0) @binding(7) var<uniform> p: Params;

fn stepped(r: Rates, w: vec4f, g: vec4f, m: vec4f, v: vec4f) -> Stepped {
  var s = Stepped(w, vec4f(), vec4f());
  var d = g;
  if (r.decay != 0.0) {
    if (DECOUPLED) { s.w = w * (1.0 - r.lr * r.decay); } else { d += w * r.decay; }
  }
  var step = r.lr * d;
  if (FIRST) {
    s.m = m * p.beta1 + p.take1 * d;
    step = r.lr * s.m / r.bias.x;
  }
  var most = abs(d);
  if (SECOND) {
    s.v = v * p.beta2 + p.take2 * d * d;
    s.v = select(s.v, vec4f(), s.v < vec4f(1.17549435e-38)); // subnormal: 0 on every adapter, as in JAX
    most = sqrt(s.v) / sqrt(r.bias.y);
  }
  s.w -= step / (most + r.eps);
  return s;
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
  var r = Rates(scalars[0] * run.rate, run.decay, run.eps, vec2f(1.0), vec2f(p.keep, p.take));
  if (p.warmup == 1u) { r.ema = warm(r.ema, scalars[1]); }
  // 1 - beta^step without cancellation.
  r.bias = -expm1Negative(scalars[2] * vec4f(p.log1, p.log2, 0.0, 0.0)).xy;
  update_run(run, r, lid);
}
