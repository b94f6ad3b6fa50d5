// shaders/fromage.wgsl: Fromage over one flat arena: a step of lr |w| along g / |g|, each parameter by its own norms, then
// back to the sphere. A workgroup takes one run of a parameter's elements; `sums` leaves the squares of its w and g,
// `update` adds those of the whole parameter in order.
const WG: u32 = 64u;
const EMA: bool = true;

struct Params {
  runs: u32,
  keep: f32, // EMA decay
  take: f32, // 1 - EMA decay
  warmup: u32,
}
struct Part {
  start: u32, // first vec4
  end: u32, // vec4s end here
  tail: u32, // elements behind them
  decay: f32, // weight decay; 0: none
  eps: f32, // the least norm
  rate: f32, // multiplies lr
  first: u32, // the parameter's first part
  parts: u32,
}
@group(0) @binding(0) var<storage, read> runs: array<Part>;
@group(0) @binding(1) var<storage, read> g: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> w: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> ema: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> partial: array<vec2f>;
@group(0) @binding(5) var<storage, read> lr: array<f32>;
@group(0) @binding(6) var<storage, read> itr: array<f32>;
@group(0) @binding(7) var<uniform> p: Params;

var<workgroup> shared_sums: array<vec2f, WG>;
fn total(own: vec2f, lid: u32) -> vec2f {
  shared_sums[lid] = own;
  workgroupBarrier();
  var s = vec2f();
  for (var i = 0u; i < WG; i++) { s += shared_sums[i]; }
  return s;
}

fn decayed(x: vec4f, d: vec4f, decay: f32) -> vec4f {
  if (decay == 0.0) { return d; }
  return d + x * decay;
}

@compute @workgroup_size(WG)
fn sums(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let at = wid.y * nwg.x + wid.x;
  if (at >= p.runs) { return; }
  let run = runs[at];
  var s = vec2f();
  for (var i = run.start + lid; i < run.end; i += WG) {
    let d = decayed(w[i], g[i], run.decay);
    s += vec2f(dot(w[i], w[i]), dot(d, d));
  }
  if (lid < run.tail) {
    let x = w[run.end][lid];
    let d = decayed(vec4f(x), vec4f(g[run.end][lid]), run.decay).x;
    s += vec2f(x * x, d * d);
  }
  s = total(s, lid);
  if (lid == 0u) { partial[at] = s; }
}

/** NaN stays: max may drop it. */
fn at_least(x: f32, least: f32) -> f32 { return select(x, least, x < least); }

@compute @workgroup_size(WG)
fn update(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let at = wid.y * nwg.x + wid.x;
  if (at >= p.runs) { return; }
  let run = runs[at];
  var s = vec2f();
  for (var k = lid; k < run.parts; k += WG) { s += partial[run.first + k]; }
  let norms = sqrt(total(s, lid));
  let rate = lr[0] * run.rate;
  let ratio = at_least(norms.x, run.eps) / at_least(norms.y, run.eps);
  // Times 1 / sqrt(1 + rate^2), as what it takes away: of a factor near 1 the rounding would add up from step to step.
  let root = sqrt(1.0 + rate * rate);
  let back = rate * rate / (root * (1.0 + root));
  var average = vec2f(p.keep, p.take);
  if (p.warmup == 1u) { average = warm(average, itr[0]); }
  for (var i = run.start + lid; i < run.end; i += WG) {
    let x = w[i];
    let t = x - rate * decayed(x, g[i], run.decay) * ratio;
    let y = t - t * back;
    w[i] = y;
    if (EMA) { ema[i] = ema[i] * average.x + y * average.y; }
  }
  if (lid >= run.tail) { return; }
  let x = w[run.end][lid];
  let t = x - rate * decayed(vec4f(x), vec4f(g[run.end][lid]), run.decay).x * ratio;
  let y = t - t * back;
  w[run.end][lid] = y;
  if (EMA) { ema[run.end][lid] = ema[run.end][lid] * average.x + y * average.y; }
}
