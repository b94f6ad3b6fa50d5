// shaders/lib/units.wgsl: norms of units, the columns of a matrix, over blocks of a flat arena (src/optim/blocks.ts makes
// the table). A Block is some rows of at most 8 vec4 (or 32 scalar) columns, or a run of elements that all belong to one
// unit. Lane l owns column l % lanes and every (WG / lanes)-th row from l / lanes on. No element outside a block is read
// for its value. The kernel that uses this declares WG, w, g and partial, and
// takes `total` from lib/units_barrier.wgsl or lib/units_subgroup.wgsl.
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
struct Sums {
  w: vec4f,
  g: vec4f,
}

fn begin(b: Block, lid: u32) -> u32 {
  let lane = lid % b.lanes;
  return select(b.end, b.start + lid / b.lanes * b.row + lane, lane < b.width);
}

const SQUARES: u32 = 64u; // rows whose squares are added before the rest: long columns keep their digits
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
  for (var first = begin(b, lid); first < b.end; first += SQUARES * stride) {
    let last = min(first + SQUARES * stride, b.end);
    var t = Sums();
    for (var i = first; i < last; i += stride) {
      let x = w[i];
      let d = g[i];
      t.w += x * x;
      t.g += d * d;
    }
    s.w += t.w;
    s.g += t.g;
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

fn is_nan(x: vec4f) -> vec4<bool> {
  return (bitcast<vec4u>(x) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u);
}

/** Leaves a block's sums for the others that share its units. */
fn keep(b: Block, s: Sums, lid: u32) {
  if (lid >= b.join) { return; }
  partial[b.partial + 2u * lid] = s.w;
  partial[b.partial + 2u * lid + 1u] = s.g;
}

/** The sums of all blocks that share these units. */
fn parts_of(b: Block, lid: u32) -> Sums {
  var s = Sums();
  for (var k = lid / b.join; k < b.parts; k += WG / b.join) {
    let i = b.partials + 2u * (k * b.join + lid % b.join);
    s.w += partial[i];
    s.g += partial[i + 1u];
  }
  return total(s, b.join, lid);
}

/**
 * What a unit's gradient is multiplied by. optim.py clips where the norm is greater than the most: NaN clips nothing, an
 * infinite gradient gives 0. agc_optax.py keeps where it is less: equality clips, and NaN makes the unit NaN.
 */
fn factor(b: Block, s: Sums, optax: bool) -> vec4f {
  let w_norm = sqrt(s.w);
  let g_norm = sqrt(s.g);
  let most = max(w_norm, vec4f(b.eps)) * b.clipping;
  let f = most / max(g_norm, vec4f(1e-6));
  let nan = is_nan(w_norm) | is_nan(g_norm);
  if (optax) { return select(select(f, vec4f(1.0), g_norm < most), w_norm + g_norm, nan); }
  return select(vec4f(1.0), f, (g_norm > most) & !nan);
}
