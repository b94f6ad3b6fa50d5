// shaders/squeezeExcite.wgsl: squeeze-and-excite where its weights are small: a workgroup computes all gates of an image.
// x, dy: images x rows x c; mean, logits, dmean: images x c; hidden: images x h; w0: 4c x h, w1: 4h x c; c and h count vec4s.
// work: each image's gradient of logits, then of hidden. Every sum is one of columns: a thread has column lid % CX and
// every SY-th of the terms from lid / CX on. Not the product with the gates; that is scaleChannels.wgsl.
struct Params { images: u32, rows: u32, c: u32, h: u32, scale: f32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> dy: array<vec4f>;
@group(0) @binding(2) var<storage, read> w0: array<vec4f>;
@group(0) @binding(3) var<storage, read> w1: array<vec4f>;
@group(0) @binding(4) var<storage, read> b0: array<vec4f>;
@group(0) @binding(5) var<storage, read> b1: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> mean: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> hidden: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> logits: array<vec4f>;
@group(0) @binding(9) var<storage, read> hiddenDone: array<vec4f>;
@group(0) @binding(10) var<storage, read> logitsDone: array<vec4f>;
@group(0) @binding(11) var<storage, read_write> work: array<vec4f>;
@group(0) @binding(12) var<storage, read_write> dmean: array<vec4f>;
@group(0) @binding(13) var<storage, read> meanDone: array<vec4f>;
@group(0) @binding(14) var<storage, read> workDone: array<vec4f>;
@group(0) @binding(15) var<storage, read_write> dw0: array<vec4f>;
@group(0) @binding(16) var<storage, read_write> db0: array<vec4f>;
@group(0) @binding(17) var<storage, read_write> dw1: array<vec4f>;
@group(0) @binding(18) var<storage, read_write> db1: array<vec4f>;
@group(0) @binding(19) var<uniform> p: Params;

const WG: u32 = 256u;
const CX: u32 = 16u;
const SY: u32 = WG / CX;
const RUN: u32 = 16u * SY; // pixels are added in runs of 16 a thread, then the runs
var<workgroup> slices: array<vec4f, WG>;

/** A column's sum over the slices, for the threads below CX; from uniform control flow. */
fn joined(v: vec4f, lid: u32) -> vec4f {
  if (SY == 1u) { return v; }
  slices[lid] = v;
  workgroupBarrier();
  var s = vec4f();
  for (var i = lid % CX; i < WG; i += CX) { s += slices[i]; }
  workgroupBarrier();
  return s;
}

@compute @workgroup_size(WG)
fn gates(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let image = wid.x;
  let c = p.c;
  let h = p.h;
  let owner = lid < CX;
  for (var first = 0u; first < c; first += CX) {
    let col = first + lid % CX;
    var s = vec4f();
    if (col < c) {
      let base = image * p.rows * c + col;
      let end = base + p.rows * c;
      for (var a = base + lid / CX * c; a < end; a += RUN * c) {
        var t = vec4f();
        for (var i = a; i < min(a + RUN * c, end); i += SY * c) { t += x[i]; }
        s += t;
      }
    }
    s = joined(s, lid);
    if (owner && col < c) { mean[image * c + col] = s / f32(p.rows); }
  }
  storageBarrier();
  for (var first = 0u; first < h; first += CX) {
    let col = first + lid % CX;
    var s = vec4f();
    if (col < h) {
      for (var k = lid / CX; k < c; k += SY) {
        let m = mean[image * c + k];
        let at = 4u * k * h + col;
        s += (m.x * w0[at] + m.y * w0[at + h]) + (m.z * w0[at + 2u * h] + m.w * w0[at + 3u * h]);
      }
    }
    s = joined(s, lid);
    if (owner && col < h) {
      s += b0[col];
      hidden[image * h + col] = select(s, vec4f(), s <= vec4f());
    }
  }
  storageBarrier();
  for (var first = 0u; first < c; first += CX) {
    let col = first + lid % CX;
    var s = vec4f();
    if (col < c) {
      for (var k = lid / CX; k < h; k += SY) {
        let m = hidden[image * h + k];
        let at = 4u * k * c + col;
        s += (m.x * w1[at] + m.y * w1[at + c]) + (m.z * w1[at + 2u * c] + m.w * w1[at + 3u * c]);
      }
    }
    s = joined(s, lid);
    if (owner && col < c) { logits[image * c + col] = s + b1[col]; }
  }
}

@compute @workgroup_size(WG)
fn gradients(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let image = wid.x;
  let c = p.c;
  let h = p.h;
  let owner = lid < CX;
  let own = image * (c + h);
  for (var first = 0u; first < c; first += CX) {
    let col = first + lid % CX;
    var s = vec4f();
    if (col < c) {
      let base = image * p.rows * c + col;
      let end = base + p.rows * c;
      for (var a = base + lid / CX * c; a < end; a += RUN * c) {
        var t = vec4f();
        for (var i = a; i < min(a + RUN * c, end); i += SY * c) { t += dy[i] * x[i]; }
        s += t;
      }
    }
    s = joined(s, lid);
    if (owner && col < c) {
      let e = expNegative(-abs(logitsDone[image * c + col]));
      let inv = 1.0 / (1.0 + e);
      work[own + col] = (e * inv * inv * p.scale) * s;
    }
  }
  storageBarrier();
  for (var first = 0u; first < h; first += CX) {
    let col = first + lid % CX;
    var s = vec4f();
    if (col < h) {
      for (var k = lid / CX; k < c; k += SY) {
        let d = work[own + k];
        let at = 4u * col * c + k;
        s += vec4f(dot(d, w1[at]), dot(d, w1[at + c]), dot(d, w1[at + 2u * c]), dot(d, w1[at + 3u * c]));
      }
    }
    s = joined(s, lid);
    if (owner && col < h) {
      let open = hiddenDone[image * h + col] > vec4f();
      work[own + c + col] = select(vec4f(), s, open);
    }
  }
  storageBarrier();
  for (var first = 0u; first < c; first += CX) {
    let col = first + lid % CX;
    var s = vec4f();
    if (col < c) {
      for (var k = lid / CX; k < h; k += SY) {
        let d = work[own + c + k];
        let at = 4u * col * h + k;
        s += vec4f(dot(d, w0[at]), dot(d, w0[at + h]), dot(d, w0[at + 2u * h]), dot(d, w0[at + 3u * h]));
      }
    }
    s = joined(s, lid);
    if (owner && col < c) { dmean[image * c + col] = s; }
  }
}

// Four rows of a vec4 of columns a turn, of both weights: there are as many of each.
@compute @workgroup_size(WG)
fn weights(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let c = p.c;
  let h = p.h;
  let images = p.images;
  let span = spanOf(c * h, wid, nwg, lid);
  for (var i = span.first; i < span.end; i += WG) {
    let row = vec2u(i / h, i / c);
    let col = vec2u(i % h, i % c);
    var a = mat4x4f();
    var b = mat4x4f();
    var sum0 = vec4f();
    var sum1 = vec4f();
    for (var n = 0u; n < images; n++) {
      let d0 = workDone[n * (c + h) + c + col.x];
      let d1 = workDone[n * (c + h) + col.y];
      let m0 = meanDone[n * c + row.x];
      let m1 = hiddenDone[n * h + row.y];
      a += mat4x4f(m0.x * d0, m0.y * d0, m0.z * d0, m0.w * d0);
      b += mat4x4f(m1.x * d1, m1.y * d1, m1.z * d1, m1.w * d1);
      sum0 += d0;
      sum1 += d1;
    }
    let at = 4u * row.x * h + col.x;
    dw0[at] = a[0];
    dw0[at + h] = a[1];
    dw0[at + 2u * h] = a[2];
    dw0[at + 3u * h] = a[3];
    let to = 4u * row.y * c + col.y;
    dw1[to] = b[0];
    dw1[to + c] = b[1];
    dw1[to + 2u * c] = b[2];
    dw1[to + 3u * c] = b[3];
    if (i < h) { db0[i] = sum0; }
    if (i < c) { db1[i] = sum1; }
  }
}
