// shaders/batchNorm.wgsl: y = (x - mean) * inv * scale + offset, inv = rsqrt(variance + eps), and its gradients.
// x, y, dy, dx: rows x cols, cols counted in V (lib/width4 or lib/width1); all else: cols.
// The batch's own mean and variance come from reduce.wgsl. Backward: `sums` makes sum(dy) and sum(dy * (x - mean)) of
// `splits` chunks of the rows, `finish` adds the chunks up and turns them into the gradients of everything that has one
// value a column and into three numbers a column for `spread`, which makes dx. All orders are fixed.
struct Params {
  n: u32, // in V
  rows: u32,
  cols: u32, // in V
  splits: u32,
  chunk: u32, // rows of one split
  eps: f32,
}
@group(0) @binding(0) var<storage, read> x: array<V>;
@group(0) @binding(1) var<storage, read> mean: array<V>;
@group(0) @binding(2) var<storage, read> variance: array<V>;
@group(0) @binding(3) var<storage, read> scale: array<V>;
@group(0) @binding(4) var<storage, read> offset: array<V>;
@group(0) @binding(5) var<storage, read_write> y: array<V>;
@group(0) @binding(6) var<storage, read> dy: array<V>;
@group(0) @binding(7) var<storage, read_write> parts: array<V>; // [splits, 2, cols]
@group(0) @binding(8) var<storage, read> partsDone: array<V>;
@group(0) @binding(9) var<storage, read> dmean: array<V>;
@group(0) @binding(10) var<storage, read> dvariance: array<V>;
@group(0) @binding(11) var<storage, read_write> pull: array<V>; // [3, cols]
@group(0) @binding(12) var<storage, read> pullDone: array<V>;
@group(0) @binding(13) var<storage, read_write> dscale: array<V>;
@group(0) @binding(14) var<storage, read_write> doffset: array<V>;
@group(0) @binding(15) var<storage, read_write> dx: array<V>;
@group(0) @binding(16) var<storage, read_write> dmeanGiven: array<V>;
@group(0) @binding(17) var<storage, read_write> dvarianceGiven: array<V>;
@group(0) @binding(18) var<uniform> p: Params;

const WG: u32 = 64u;
const SCALE: bool = true; // else `scale` is bound to something, and not looked at
const OFFSET: bool = true;

// One step of Newton's method: the built-in may be 2 ulp off, for a whole column.
fn inverseRoot(v: V) -> V {
  let r = inverseSqrt(v);
  let e = 0.5 * fma(-v * r, r, V(1.0));
  return select(r, fma(r, e, r), (r > V(0.0)) & (r < V(3e38)));
}
fn factor(c: u32) -> V {
  let inv = inverseRoot(variance[c] + p.eps);
  if (SCALE) { return scale[c] * inv; }
  return inv;
}

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  for (var i = id.x; i < p.n; i += nwg.x * WG) {
    let c = i % p.cols;
    var v = (x[i] - mean[c]) * factor(c);
    if (OFFSET) { v += offset[c]; }
    y[i] = v;
  }
}

// A workgroup takes CX neighbouring columns of one chunk; its WG / CX slices walk the rows in runs, and meet in
// workgroup memory.
const CX: u32 = 16u;
var<workgroup> slices: array<V, 2u * WG>;

@compute @workgroup_size(WG)
fn sums(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  const SY = WG / CX;
  const RUN = 16u * SY;
  let cols = p.cols;
  let groups = (cols + CX - 1u) / CX;
  let item = wid.y * nwg.x + wid.x;
  let chunk = item / groups;
  let c = item % groups * CX + lid % CX;
  let live = c < cols && chunk < p.splits;
  var s = V();
  var sx = V();
  if (live) {
    let m = mean[c];
    let end = min((chunk + 1u) * p.chunk, p.rows);
    for (var a = chunk * p.chunk + lid / CX; a < end; a += RUN) {
      var t = V();
      var tx = V();
      for (var r = a; r < min(a + RUN, end); r += SY) {
        let d = dy[r * cols + c];
        t += d;
        tx += d * (x[r * cols + c] - m);
      }
      s += t;
      sx += tx;
    }
  }
  slices[lid] = s;
  slices[WG + lid] = sx;
  workgroupBarrier();
  if (live && lid < CX) {
    for (var k = 1u; k < SY; k++) {
      s += slices[k * CX + lid];
      sx += slices[WG + k * CX + lid];
    }
    parts[2u * chunk * cols + c] = s;
    parts[(2u * chunk + 1u) * cols + c] = sx;
  }
}

struct Sums { dy: V, dyd: V }
fn total(c: u32) -> Sums {
  var s = Sums();
  for (var a = 0u; a < p.splits; a += 16u) {
    var t = Sums();
    for (var k = a; k < min(a + 16u, p.splits); k++) {
      t.dy += partsDone[2u * k * p.cols + c];
      t.dyd += partsDone[(2u * k + 1u) * p.cols + c];
    }
    s.dy += t.dy;
    s.dyd += t.dyd;
  }
  return s;
}

// With d = x - mean and f = scale * inv: dx = (dy - pull[1]) * f + d * pull[0] + pull[2]. The mean of dy goes first: times f
// it may be far greater than what is left.
@compute @workgroup_size(WG)
fn finish(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= p.cols) { return; }
  let s = total(c);
  let f = factor(c);
  let inv = inverseRoot(variance[c] + p.eps);
  dscale[c] = s.dyd * inv;
  doffset[c] = s.dy;
  pull[c] = (2.0 * dvariance[c] - f * inv * inv * s.dyd) / f32(p.rows);
  pull[p.cols + c] = s.dy / f32(p.rows);
  pull[2u * p.cols + c] = dmean[c] / f32(p.rows);
}

@compute @workgroup_size(WG)
fn spread(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  for (var i = id.x; i < p.n; i += nwg.x * WG) {
    let c = i % p.cols;
    let centred = (dy[i] - pullDone[p.cols + c]) * factor(c);
    dx[i] = centred + ((x[i] - mean[c]) * pullDone[c] + pullDone[2u * p.cols + c]);
  }
}

// The same for given statistics, which have gradients of their own and pull at no x.
@compute @workgroup_size(WG)
fn finishGiven(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= p.cols) { return; }
  let s = total(c);
  let f = factor(c);
  let inv = inverseRoot(variance[c] + p.eps);
  dscale[c] = s.dyd * inv;
  doffset[c] = s.dy;
  dmeanGiven[c] = -f * s.dy;
  dvarianceGiven[c] = -0.5 * f * inv * inv * s.dyd;
}

@compute @workgroup_size(WG)
fn spreadGiven(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  for (var i = id.x; i < p.n; i += nwg.x * WG) { dx[i] = dy[i] * factor(i % p.cols); }
}
