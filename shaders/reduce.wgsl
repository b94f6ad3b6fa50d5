// shaders/reduce.wgsl: y[outer, cols] = the sum, maximum or minimum of x[outer, rows, cols] over rows, divided by count.
// Rows are cut into `splits` chunks where the outputs alone are too few workgroups; y is then [outer, splits, cols], and a
// second dispatch combines the chunks. All orders are fixed. Needs lib/width4 or lib/width1.
const WG: u32 = 64u;
const SUM: u32 = 0u;
const MAX: u32 = 1u;
const MIN: u32 = 2u;
const OP: u32 = SUM;
// What is combined: x itself, (x - stat)^2, or 1 where x == stat; stat is [outer, cols].
const PLAIN: u32 = 0u;
const CENTRED: u32 = 1u;
const EQUALS: u32 = 2u;
const TERM: u32 = PLAIN;

struct Params {
  outer: u32,
  rows: u32,
  cols: u32, // in V
  splits: u32,
  chunk: u32, // rows of one split
  count: f32,
  start: f32, // what combines to nothing: 0, -inf or inf
}
@group(0) @binding(0) var<storage, read> x: array<V>;
@group(0) @binding(1) var<storage, read> stat: array<f32>;
@group(0) @binding(1) var<storage, read> stats: array<V>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> ys: array<V>;
@group(0) @binding(3) var<uniform> p: Params;

// A NaN on either side wins; told by its bits, since a compiler may take comparisons to be free of NaN.
fn combine(a: V, b: V) -> V {
  if (OP == SUM) { return a + b; }
  let m = select(select(b, a, a <= b), select(b, a, a >= b), OP == MAX);
  let n = select(m, b, (bitcast<U>(b) & U(0x7fffffffu)) > U(0x7f800000u));
  return select(n, a, (bitcast<U>(a) & U(0x7fffffffu)) > U(0x7f800000u));
}
fn term(v: V, s: V) -> V {
  if (TERM == CENTRED) { let d = v - s; return d * d; }
  if (TERM == EQUALS) { return select(V(0.0), V(1.0), v == s); }
  return v;
}
fn fold(v: V) -> f32 {
  var sum = V(part(v, 0u));
  for (var i = 1u; i < WIDTH; i++) { sum = combine(sum, V(part(v, i))); }
  return part(sum, 0u);
}

// Trailing axes (cols = 1): LANES neighbouring threads take one chunk of one row, WG / LANES chunks a workgroup.
// x is read in whole vectors wherever a row begins; those that it shares with its neighbours are masked.
const LANES: u32 = 64u;
var<workgroup> lanes: array<f32, WG>;

fn edge(i: u32, begin: u32, end: u32, s: V) -> V {
  let at = U(i * WIDTH) + OFFSETS;
  return select(V(p.start), term(x[i], s), (at >= U(begin)) & (at < U(end)));
}
// One of 8 first-level sums of a row's lanes: `n` neighbours from `first`, in order.
fn gather(first: u32, n: u32) -> f32 {
  var sum = V(lanes[first]);
  for (var i = 1u; i < n; i++) { sum = combine(sum, V(lanes[first + i])); }
  return part(sum, 0u);
}

@compute @workgroup_size(WG)
fn rows(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let lane = lid % LANES;
  let item = (wid.y * nwg.x + wid.x) * (WG / LANES) + lid / LANES;
  let row = item / p.splits;
  let live = row < p.outer;
  let begin = row * p.rows + item % p.splits * p.chunk;
  let end = select(begin, min(begin + p.chunk, (row + 1u) * p.rows), live);
  var s = V();
  if (TERM != PLAIN) { s = V(stat[min(row, p.outer - 1u)]); }

  let first = (begin + WIDTH - 1u) / WIDTH;
  let last = end / WIDTH;
  var a0 = V(p.start);
  var a1 = a0;
  var a2 = a0;
  var a3 = a0;
  var i = first + lane;
  for (; i + 3u * LANES < last; i += 4u * LANES) {
    a0 = combine(a0, term(x[i], s));
    a1 = combine(a1, term(x[i + LANES], s));
    a2 = combine(a2, term(x[i + 2u * LANES], s));
    a3 = combine(a3, term(x[i + 3u * LANES], s));
  }
  for (; i < last; i += LANES) { a0 = combine(a0, term(x[i], s)); }
  if (lane == 0u && begin < end) {
    if (begin / WIDTH < first) { a1 = combine(a1, edge(begin / WIDTH, begin, end, s)); }
    if (last >= first && last * WIDTH < end) { a2 = combine(a2, edge(last, begin, end, s)); }
  }
  var sum = fold(combine(combine(a0, a1), combine(a2, a3)));
  if (LANES > 1u) {
    lanes[lid] = sum;
    workgroupBarrier();
    if (LANES > 8u) {
      const each = max(LANES / 8u, 1u);
      if (lane < 8u) { sum = gather(lid - lane + lane * each, each); }
      workgroupBarrier();
      if (lane < 8u) { lanes[lid] = sum; }
      workgroupBarrier();
    }
    sum = gather(lid - lane, min(LANES, 8u));
  }
  if (live && lane == 0u) { y[item] = sum / p.count; }
}

// Leading or middle axes: a workgroup takes CX neighbouring outputs (of V) in WG / CX slices of the rows of one chunk.
const CX: u32 = 64u;
const RUN: u32 = 64u; // rows are added in runs, then the runs: long columns keep their digits
var<workgroup> slices: array<V, WG>;

@compute @workgroup_size(WG)
fn columns(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  const SY = WG / CX;
  let cols = p.cols; // read before the loops: compilers leave such loads where they stand
  let outputs = p.outer * cols;
  let groups = (outputs + CX - 1u) / CX;
  let item = wid.y * nwg.x + wid.x;
  let chunk = item / groups;
  let i = item % groups * CX + lid % CX;
  let o = i / cols;
  let c = i % cols;
  let live = i < outputs && chunk < p.splits;

  var sum = V(p.start);
  if (live) {
    let base = o * p.rows * cols + c;
    let end = min((chunk + 1u) * p.chunk, p.rows);
    let start = sum;
    var s = V();
    if (TERM != PLAIN) { s = stats[i]; }
    for (var first = chunk * p.chunk + lid / CX; first < end; first += RUN * SY) {
      let last = min(first + RUN * SY, end);
      var a0 = start;
      var a1 = start;
      var a2 = start;
      var a3 = start;
      var r = first;
      for (; r + 3u * SY < last; r += 4u * SY) {
        a0 = combine(a0, term(x[base + r * cols], s));
        a1 = combine(a1, term(x[base + (r + SY) * cols], s));
        a2 = combine(a2, term(x[base + (r + 2u * SY) * cols], s));
        a3 = combine(a3, term(x[base + (r + 3u * SY) * cols], s));
      }
      for (; r < last; r += SY) { a0 = combine(a0, term(x[base + r * cols], s)); }
      sum = combine(sum, combine(combine(a0, a1), combine(a2, a3)));
    }
  }
  if (SY > 1u) {
    slices[lid] = sum;
    workgroupBarrier();
    if (lid < CX) {
      for (var k = 1u; k < SY; k++) { sum = combine(sum, slices[k * CX + lid]); }
    }
  }
  if (live && lid < CX) { ys[(o * p.splits + chunk) * cols + c] = sum / p.count; }
}
