// shaders/sgdAgc.wgsl: clipping, weight decay, momentum and EMA over one flat arena, every parameter in one dispatch.
// A workgroup takes one Block (lib/units.wgsl). One that holds its units whole clips and updates at once; one that
// holds a part of them leaves partial sums in `first`, and `rest` adds these in order and updates. No element outside
// a block is written: padding of an arena may hold anything.
const WG: u32 = 64u;
const MOMENTUM: bool = true;
const NESTEROV: bool = true;
const DAMPENED: bool = false; // gain is not 1
const EMA: bool = true;

struct Params {
  blocks: u32, // of this dispatch
  momentum: f32,
  gain: f32, // 1 - dampening
  keep: f32, // EMA decay
  take: f32, // 1 - EMA decay
  warmup: u32,
}
@group(0) @binding(0) var<storage, read> blocks: array<Block>;
@group(0) @binding(1) var<storage, read> g: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> w: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> m: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> ema: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> partial: array<vec4f>;
@group(0) @binding(6) var<storage, read> lr: array<f32>;
@group(0) @binding(7) var<storage, read> itr: array<f32>;
@group(0) @binding(8) var<uniform> p: Params;

// What a loop reads, loaded once: compilers leave loads of uniforms where they stand.
struct Rates {
  lr: f32,
  decay: f32,
  momentum: f32,
  gain: f32,
  decays: bool,
  ema: vec2f, // weights of the average and of the new value
}
fn rates(b: Block) -> Rates {
  let lr = lr[0] * b.rate;
  var weights = vec2f(p.keep, p.take);
  if (p.warmup == 1u) { weights = warm(weights, itr[0]); }
  return Rates(lr, b.decay, p.momentum, p.gain, b.decay != 0.0, weights);
}

struct Stepped {
  w: vec4f,
  m: vec4f,
}
fn averaged(r: Rates, x: vec4f, average: vec4f) -> vec4f { return average * r.ema.x + x * r.ema.y; }
fn stepped(r: Rates, x: vec4f, gradient: vec4f, old: vec4f) -> Stepped {
  var s: Stepped;
  var d = select(gradient, gradient + r.decay * x, r.decays);
  if (MOMENTUM) {
    if (DAMPENED) { s.m = r.momentum * old + r.gain * d; } else { s.m = r.momentum * old + d; }
    if (NESTEROV) { d += r.momentum * s.m; } else { d = s.m; }
  }
  s.w = x - r.lr * d;
  return s;
}

fn update_element(r: Rates, e: u32, f: f32) {
  let i = e / 4u;
  let c = e % 4u;
  var old = 0.0;
  if (MOMENTUM) { old = m[i][c]; }
  let s = stepped(r, vec4f(w[i][c]), vec4f(g[i][c] * f), vec4f(old));
  if (MOMENTUM) { m[i][c] = s.m.x; }
  w[i][c] = s.w.x;
  if (EMA) { ema[i][c] = averaged(r, s.w, vec4f(ema[i][c])).x; }
}

fn update(b: Block, lid: u32, f: vec4f) {
  let r = rates(b);
  let stride = WG / b.lanes * b.row;
  if (b.scalar == 1u) {
    for (var e = begin(b, lid); e < b.end; e += stride) { update_element(r, e, f.x); }
    return;
  }
  let end = b.end;
  for (var i = begin(b, lid); i < end; i += stride) {
    let x = w[i];
    let d = g[i] * f;
    var old = vec4f();
    if (MOMENTUM) { old = m[i]; }
    let s = stepped(r, x, d, old);
    if (MOMENTUM) { m[i] = s.m; }
    w[i] = s.w;
    if (EMA) { ema[i] = averaged(r, s.w, ema[i]); } // as late as this: fewer values live at once
  }
  if (lid < b.tail) { update_element(r, 4u * b.end + lid, f.x); }
}

/** All blocks: squares, and the update where the units are whole. */
@compute @workgroup_size(WG)
fn first(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let at = wid.y * nwg.x + wid.x;
  if (at >= p.blocks) { return; }
  let b = blocks[at];
  var f = vec4f(1.0);
  if (b.clipping >= 0.0) {
    let s = total(squares(b, lid), b.join, lid);
    if (b.parts > 1u) {
      keep(b, s, lid);
      return;
    }
    f = factor(b, s, false);
  }
  update(b, lid, f);
}

/** The blocks whose units are shared, which stand first in the table: the sums of their partial sums, and the update. */
@compute @workgroup_size(WG)
fn rest(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let at = wid.y * nwg.x + wid.x;
  if (at >= p.blocks) { return; }
  let b = blocks[at];
  update(b, lid, factor(b, parts_of(b, lid), false));
}
