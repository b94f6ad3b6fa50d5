// shaders/scaleChannels.wgsl: y = x * scale * gate(h): the end of a squeeze-and-excite block. x, y,
// dy, dx: images x rows x cols, a row being a pixel, cols its channels counted in V (lib/width4.wgsl
// where 4 divides them, else width1.wgsl); h, dh: images x cols. A workgroup takes CX neighbouring columns of one
// image; its thread (cx, sy) walks the rows sy, sy + SY, ... of its span. backward and gateGradient span the whole
// image, since dh is a sum over its rows. For squeezeExcite.ts the gradient is in two halves: gateGradient, which gives dh
// alone, and spread: dx = dy * scale * gate(h) + more / rows, more: images x cols.
struct Params { rows: u32, cols: u32, span: u32, spans: u32, blocks: u32, groups: u32, scale: f32 }
@group(0) @binding(0) var<storage, read> x: array<V>;
@group(0) @binding(1) var<storage, read> h: array<V>;
@group(0) @binding(2) var<storage, read_write> y: array<V>;
@group(0) @binding(2) var<storage, read> dy: array<V>;
@group(0) @binding(3) var<storage, read_write> dx: array<V>;
@group(0) @binding(4) var<storage, read_write> dh: array<V>;
@group(0) @binding(5) var<storage, read> more: array<V>;
@group(0) @binding(6) var<uniform> p: Params;

const SIGMOID: bool = true; // else the gate is h itself
const CX: u32 = 8u;
const SY: u32 = 8u;
const RUN: u32 = 16u * SY; // rows are added in runs of 16 a thread, then the runs

var<workgroup> sums: array<V, CX * SY>;

// An image, a span of its rows, a column: where this thread works.
struct Place { image: u32, col: u32, first: u32, last: u32, inside: bool, real: bool }
fn placeOf(group: u32, lid: u32) -> Place {
  let block = group % p.blocks;
  let span = group / p.blocks % p.spans;
  let col = block * CX + lid % CX;
  let first = span * p.span + lid / CX;
  let last = min(span * p.span + p.span, p.rows);
  let image = group / p.blocks / p.spans;
  return Place(image, min(col, p.cols - 1u), first, last, col < p.cols, group < p.groups);
}

// The factor of a channel, and its derivative by h: sigmoids of lib/exp.wgsl's exp, whose error every pixel would share.
struct Gate { value: V, slope: V }
fn gateOf(h: V) -> Gate {
  if (!SIGMOID) { return Gate(h * p.scale, V(p.scale)); }
  let x = vec4f(h);
  let e = expNegative(-abs(x));
  let inv = 1.0 / (1.0 + e);
  return Gate(narrow(select(e, vec4f(1.0), x >= vec4f()) * inv * p.scale), narrow(e * inv * inv * p.scale));
}

@compute @workgroup_size(CX * SY)
fn forward(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let at = placeOf(wid.y * nwg.x + wid.x, lid);
  if (!(at.inside && at.real)) { return; }
  let g = gateOf(h[at.image * p.cols + at.col]).value;
  let cols = p.cols; // before the loop: compilers leave such loads where they stand
  let base = at.image * p.rows * cols + at.col;
  for (var r = at.first; r < at.last; r += SY) { y[base + r * cols] = x[base + r * cols] * g; }
}

@compute @workgroup_size(CX * SY)
fn backward(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let group = wid.y * nwg.x + wid.x;
  if (group >= p.groups) { return; }
  let at = placeOf(group, lid);
  let gate = gateOf(h[at.image * p.cols + at.col]);
  let cols = p.cols;
  let base = at.image * p.rows * cols + at.col;
  var s = V();
  for (var a = at.first; a < at.last; a += RUN) {
    var t = V();
    for (var r = a; r < min(a + RUN, at.last); r += SY) {
      let i = base + r * cols;
      let d = dy[i];
      t += d * x[i];
      if (at.inside) { dx[i] = d * gate.value; }
    }
    s += t;
  }
  sums[lid] = s;
  workgroupBarrier();
  if (lid < CX && at.inside) {
    s = V();
    for (var i = lid; i < CX * SY; i += CX) { s += sums[i]; }
    dh[at.image * p.cols + at.col] = gate.slope * s;
  }
}

@compute @workgroup_size(CX * SY)
fn gateGradient(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let group = wid.y * nwg.x + wid.x;
  if (group >= p.groups) { return; }
  let at = placeOf(group, lid);
  let cols = p.cols;
  let base = at.image * p.rows * cols + at.col;
  var s = V();
  for (var a = at.first; a < at.last; a += RUN) {
    var t = V();
    for (var r = a; r < min(a + RUN, at.last); r += SY) { t += dy[base + r * cols] * x[base + r * cols]; }
    s += t;
  }
  sums[lid] = s;
  workgroupBarrier();
  if (lid < CX && at.inside) {
    s = V();
    for (var i = lid; i < CX * SY; i += CX) { s += sums[i]; }
    let i = at.image * cols + at.col;
    dh[i] = gateOf(h[i]).slope * s;
  }
}

@compute @workgroup_size(CX * SY)
fn spread(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let at = placeOf(wid.y * nwg.x + wid.x, lid);
  if (!(at.inside && at.real)) { return; }
  let cols = p.cols;
  let g = gateOf(h[at.image * cols + at.col]).value;
  let each = more[at.image * cols + at.col] / f32(p.rows);
  let base = at.image * p.rows * cols + at.col;
  for (var r = at.first; r < at.last; r += SY) { dx[base + r * cols] = dy[base + r * cols] * g + each; }
}

// The same two on software adapters, where columns cost twice what neighbours do: a workgroup takes whole rows of an
// image, in order, and keeps its gates. For 8 to TABLE columns; `groups` and `spans` count workgroups and those of an image.
const TABLE: u32 = 512u;
var<workgroup> gates: array<V, TABLE>;
var<workgroup> shares: array<V, TABLE>;
struct Stretch { begin: u32, end: u32, image: u32 }
fn stretchOf(group: u32) -> Stretch {
  let image = group / p.spans;
  let first = group % p.spans * p.span;
  let rows = vec2u(first, min(first + p.span, p.rows)) + image * p.rows;
  return Stretch(rows.x * p.cols, rows.y * p.cols, image);
}

@compute @workgroup_size(CX)
fn forwardRows(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let group = wid.y * nwg.x + wid.x;
  if (group >= p.groups) { return; }
  let at = stretchOf(group);
  let cols = p.cols;
  for (var c = lid; c < cols; c += CX) { gates[c] = gateOf(h[at.image * cols + c]).value; }
  workgroupBarrier();
  var c = lid;
  for (var i = at.begin + lid; i < at.end; i += CX) {
    y[i] = x[i] * gates[c];
    c += CX;
    c -= select(0u, cols, c >= cols);
  }
}

@compute @workgroup_size(CX)
fn spreadRows(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let group = wid.y * nwg.x + wid.x;
  if (group >= p.groups) { return; }
  let at = stretchOf(group);
  let cols = p.cols;
  for (var c = lid; c < cols; c += CX) {
    gates[c] = gateOf(h[at.image * cols + c]).value;
    shares[c] = more[at.image * cols + c] / f32(p.rows);
  }
  workgroupBarrier();
  var c = lid;
  for (var i = at.begin + lid; i < at.end; i += CX) {
    dx[i] = dy[i] * gates[c] + shares[c];
    c += CX;
    c -= select(0u, cols, c >= cols);
  }
}
