// shaders/sgdAgc.wgsl: clipping, weight decay, momentum and EMA over one flat arena, every parameter in one dispatch.
// A workgroup takes one Block: some rows of at most 8 vec4 (or 32 scalar) columns of a matrix whose columns are
// units, or a run of elements that all belong to one unit. Lane l owns column l % lanes and every (WG / lanes)-th
// row from l / lanes on. A block that holds its units whole clips and updates at once; one that holds a part of
// them leaves partial sums in `first`, and `rest` adds these in order and updates. No element outside a block is
// read for its value or written: padding of an arena may hold anything.
const WG: u32 = 64u;
const MOMENTUM: bool = true;
const EMA: bool = true;

struct Params {
  blocks: u32, // of this dispatch
  momentum: f32,
  gain: f32, // 1 - dampening
  nesterov: u32,
  keep: f32, // EMA decay
  take: f32, // 1 - EMA decay
  warmup: u32,
}
struct Block {
  start: u32, // first item; an item is a vec4, or an element where `scalar` is 1
  end: u32, // items end here
  row: u32, // items from one row to the next
  lanes: u32, // columns side by side: a divisor of WG
  width: u32, // of which so many exist
  join: u32, // lanes whose sums stay apart: `lanes`, or 1 for a run
  scalar: u32,
  tail: u32, // elements behind a run's last vec4
  parts: u32, // blocks that share these units
  partial: u32, // this block's sums, in vec4
  partials: u32, // the sums of all blocks of these units
  decay: f32, // 0: none
  clipping: f32, // negative: none
  eps: f32,
  rate: f32, // multiplies lr
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

struct Sums {
  w: vec4f,
  g: vec4f,
}
var<workgroup> shared_w: array<vec4f, WG>;
var<workgroup> shared_g: array<vec4f, WG>;

fn begin(b: Block, lid: u32) -> u32 {
  let lane = lid % b.lanes;
  return select(b.end, b.start + lid / b.lanes * b.row + lane, lane < b.width);
}

/** Squares of this thread's elements; of a run, or of scalars, in .x. */
fn squares(b: Block, lid: u32) -> Sums {
  var s = Sums();
  let stride = WG / b.lanes * b.row;
  if (b.scalar == 1u) {
    for (var e = begin(b, lid); e < b.end; e += stride) {
      let x = w[e / 4u][e % 4u];
      let d = g[e / 4u][e % 4u];
      s.w.x += x * x;
      s.g.x += d * d;
    }
    return s;
  }
  for (var i = begin(b, lid); i < b.end; i += stride) {
    let x = w[i];
    let d = g[i];
    s.w += x * x;
    s.g += d * d;
  }
  if (b.join == 1u) {
    if (lid < b.tail) {
      let x = w[b.end][lid];
      let d = g[b.end][lid];
      s.w.x += x * x;
      s.g.x += d * d;
    }
    s.w = vec4f(s.w.x + s.w.y + s.w.z + s.w.w);
    s.g = vec4f(s.g.x + s.g.y + s.g.z + s.g.w);
  }
  return s;
}

/** Adds the sums of all threads that share a unit, in the order of the threads. */
fn total(own: Sums, join: u32, lid: u32) -> Sums {
  shared_w[lid] = own.w;
  shared_g[lid] = own.g;
  workgroupBarrier();
  var s = Sums();
  for (var i = lid % join; i < WG; i += join) {
    s.w += shared_w[i];
    s.g += shared_g[i];
  }
  return s;
}

fn is_nan(x: vec4f) -> vec4<bool> {
  return (bitcast<vec4u>(x) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u);
}

/** What a unit's gradient is multiplied by. A NaN norm clips nothing, an infinite one of the gradient gives 0. */
fn factor(b: Block, s: Sums) -> vec4f {
  let w_norm = sqrt(s.w);
  let g_norm = sqrt(s.g);
  let most = max(w_norm, vec4f(b.eps)) * b.clipping;
  let clip = (g_norm > most) & !is_nan(w_norm) & !is_nan(g_norm);
  return select(vec4f(1.0), most / max(g_norm, vec4f(1e-6)), clip);
}

struct Rates {
  lr: f32,
  decay: f32,
  ema: vec2f, // weights of the average and of the new value
}
fn rates(b: Block) -> Rates {
  var r = Rates(lr[0] * b.rate, b.decay, vec2f(p.keep, p.take));
  if (p.warmup == 1u) { r.ema = warm(r.ema, itr[0]); }
  return r;
}

struct Stepped {
  w: vec4f,
  m: vec4f,
  ema: vec4f,
}
fn stepped(r: Rates, x: vec4f, gradient: vec4f, old: vec4f, average: vec4f) -> Stepped {
  var s: Stepped;
  var d = gradient;
  if (r.decay != 0.0) { d += r.decay * x; }
  if (MOMENTUM) {
    s.m = p.momentum * old + p.gain * d;
    d = select(s.m, d + p.momentum * s.m, p.nesterov == 1u);
  }
  s.w = x - r.lr * d;
  if (EMA) { s.ema = average * r.ema.x + s.w * r.ema.y; }
  return s;
}

fn update_element(r: Rates, e: u32, f: f32) {
  let i = e / 4u;
  let c = e % 4u;
  var old = 0.0;
  var average = 0.0;
  if (MOMENTUM) { old = m[i][c]; }
  if (EMA) { average = ema[i][c]; }
  let s = stepped(r, vec4f(w[i][c]), vec4f(g[i][c] * f), vec4f(old), vec4f(average));
  w[i][c] = s.w.x;
  if (MOMENTUM) { m[i][c] = s.m.x; }
  if (EMA) { ema[i][c] = s.ema.x; }
}

fn update(b: Block, lid: u32, f: vec4f) {
  let r = rates(b);
  let stride = WG / b.lanes * b.row;
  if (b.scalar == 1u) {
    for (var e = begin(b, lid); e < b.end; e += stride) { update_element(r, e, f.x); }
    return;
  }
  for (var i = begin(b, lid); i < b.end; i += stride) {
    var old = vec4f();
    var average = vec4f();
    if (MOMENTUM) { old = m[i]; }
    if (EMA) { average = ema[i]; }
    let s = stepped(r, w[i], g[i] * f, old, average);
    w[i] = s.w;
    if (MOMENTUM) { m[i] = s.m; }
    if (EMA) { ema[i] = s.ema; }
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
      if (lid < b.join) {
        partial[b.partial + 2u * lid] = s.w;
        partial[b.partial + 2u * lid + 1u] = s.g;
      }
      return;
    }
    f = factor(b, s);
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
  var s = Sums();
  for (var k = lid / b.join; k < b.parts; k += WG / b.join) {
    let i = b.partials + 2u * (k * b.join + lid % b.join);
    s.w += partial[i];
    s.g += partial[i + 1u];
  }
  update(b, lid, factor(b, total(s, b.join, lid)));
}
