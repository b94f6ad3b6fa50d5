// shaders/pool.wgsl: average and maximum over windows of an NHWC image.
// x, dx: images x h x w x c; y, dy, place: images x oh x ow x c, channels counted in F (vec4f where
// 4 divides them, else f32). A thread has one place (column, channel) of a row, and walks the rows
// of all images: y's in avg, max_ and maxPlace, dx's in the gradients, which gather: they visit the
// windows that their place is in. Padding is never counted. Indices left of or above the image wrap
// round 2^32, so that `< p.h` says that one is inside.
struct Params {
  rows: u32, h: u32, w: u32, c: u32, oh: u32, ow: u32,
  kh: u32, kw: u32, sh: u32, sw: u32, top: u32, left: u32,
}
@group(0) @binding(0) var<storage, read> x: array<F>;
@group(0) @binding(1) var<storage, read_write> y: array<F>;
@group(0) @binding(1) var<storage, read_write> place: array<U>;
@group(0) @binding(1) var<storage, read> placed: array<U>;
@group(0) @binding(2) var<storage, read> dy: array<F>;
@group(0) @binding(3) var<storage, read_write> dx: array<F>;
@group(0) @binding(4) var<uniform> p: Params;

alias F = vec4f;
alias U = vec4u;
alias Bool = vec4<bool>;
const WG: u32 = 64u;
// Window and stride where the caller knows them, so that loops unroll; 0: as in Params.
const KH: u32 = 0u;
const KW: u32 = 0u;
const SH: u32 = 0u;
const SW: u32 = 0u;
fn windowOf() -> vec2u { return select(vec2u(KH, KW), vec2u(p.kh, p.kw), KH == 0u); }
fn strideOf() -> vec2u { return select(vec2u(SH, SW), vec2u(p.sh, p.sw), KH == 0u); }

// The image and the row in it, carried along without a division.
struct Row { image: u32, at: u32 }
fn advance(row: Row, hop: vec2u, height: u32) -> Row {
  let at = row.at + hop.y;
  let over = at >= height;
  return Row(row.image + hop.x + select(0u, 1u, over), select(at, at - height, over));
}

fn isNan(v: F) -> Bool { return (bitcast<U>(v) & U(0x7fffffffu)) > U(0x7f800000u); }

// How many indices of an axis of size n lie in window o.
fn inside(o: u32, k: u32, s: u32, pad: u32, n: u32) -> u32 {
  return min(o * s + k, pad + n) - max(o * s, pad);
}

@compute @workgroup_size(WG)
fn avg(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  if (id.x >= p.ow * p.c) { return; }
  let k = windowOf();
  let s = strideOf();
  let ox = id.x / p.c;
  let channel = id.x % p.c;
  let across = inside(ox, k.y, s.y, p.left, p.w);
  let hop = vec2u(nwg.y / p.oh, nwg.y % p.oh);
  var at = Row(id.y / p.oh, id.y % p.oh);
  for (var row = id.y; row < p.rows; row += nwg.y) {
    var sum = F();
    for (var i = 0u; i < k.x; i++) {
      let r = at.at * s.x + i - p.top;
      for (var j = 0u; j < k.y; j++) {
        let q = ox * s.y + j - p.left;
        let ok = r < p.h && q < p.w;
        sum += select(F(), x[select(0u, ((at.image * p.h + r) * p.w + q) * p.c + channel, ok)], ok);
      }
    }
    y[row * p.ow * p.c + id.x] = sum / f32(inside(at.at, k.x, s.x, p.top, p.h) * across);
    at = advance(at, hop, p.oh);
  }
}

// Window i back from the last one that begins at or before a place: o = place / stride - i, if it
// reaches that far.
@compute @workgroup_size(WG)
fn avgBackward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  if (id.x >= p.w * p.c) { return; }
  let k = windowOf();
  let s = strideOf();
  let n = (k + s - 1u) / s;
  let qx = id.x / p.c + p.left;
  let channel = id.x % p.c;
  let hop = vec2u(nwg.y / p.h, nwg.y % p.h);
  var at = Row(id.y / p.h, id.y % p.h);
  for (var row = id.y; row < p.rows; row += nwg.y) {
    let ry = at.at + p.top;
    var sum = F();
    for (var i = 0u; i < n.x; i++) {
      let r = ry / s.x - i;
      for (var j = 0u; j < n.y; j++) {
        let q = qx / s.y - j;
        let ok = r < p.oh && q < p.ow && ry - r * s.x < k.x && qx - q * s.y < k.y;
        let count = inside(r, k.x, s.x, p.top, p.h) * inside(q, k.y, s.y, p.left, p.w);
        let v = dy[select(0u, ((at.image * p.oh + r) * p.ow + q) * p.c + channel, ok)];
        sum += select(F(), v / f32(count), ok);
      }
    }
    dx[row * p.w * p.c + id.x] = sum;
    at = advance(at, hop, p.h);
  }
}

// The maximum of a window and its place in the image. NaN wins, and the first of equals.
struct Best { value: F, place: U }
fn bestOf(at: Row, ox: u32, channel: u32) -> Best {
  let k = windowOf();
  let s = strideOf();
  let image = at.image * p.h;
  let first = vec2u(max(at.at * s.x, p.top) - p.top, max(ox * s.y, p.left) - p.left);
  var m = x[((image + first.x) * p.w + first.y) * p.c + channel];
  var place = U(first.x * p.w + first.y);
  for (var i = 0u; i < k.x; i++) {
    let r = at.at * s.x + i - p.top;
    for (var j = 0u; j < k.y; j++) {
      let q = ox * s.y + j - p.left;
      let ok = r < p.h && q < p.w;
      let v = x[select(0u, ((image + r) * p.w + q) * p.c + channel, ok)];
      let better = select(Bool(), (v > m) | (isNan(v) & !isNan(m)), ok);
      m = select(m, v, better);
      place = select(place, U(r * p.w + q), better);
    }
  }
  return Best(m, place);
}

@compute @workgroup_size(WG)
fn max_(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  if (id.x >= p.ow * p.c) { return; }
  let hop = vec2u(nwg.y / p.oh, nwg.y % p.oh);
  var at = Row(id.y / p.oh, id.y % p.oh);
  for (var row = id.y; row < p.rows; row += nwg.y) {
    y[row * p.ow * p.c + id.x] = bestOf(at, id.x / p.c, id.x % p.c).value;
    at = advance(at, hop, p.oh);
  }
}

// The gradient's first half: where each window's maximum is.
@compute @workgroup_size(WG)
fn maxPlace(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  if (id.x >= p.ow * p.c) { return; }
  let hop = vec2u(nwg.y / p.oh, nwg.y % p.oh);
  var at = Row(id.y / p.oh, id.y % p.oh);
  for (var row = id.y; row < p.rows; row += nwg.y) {
    place[row * p.ow * p.c + id.x] = bestOf(at, id.x / p.c, id.x % p.c).place;
    at = advance(at, hop, p.oh);
  }
}

@compute @workgroup_size(WG)
fn maxBackward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  if (id.x >= p.w * p.c) { return; }
  let k = windowOf();
  let s = strideOf();
  let n = (k + s - 1u) / s;
  let col = id.x / p.c;
  let qx = col + p.left;
  let channel = id.x % p.c;
  let hop = vec2u(nwg.y / p.h, nwg.y % p.h);
  var at = Row(id.y / p.h, id.y % p.h);
  for (var row = id.y; row < p.rows; row += nwg.y) {
    let ry = at.at + p.top;
    let here = U(at.at * p.w + col);
    var sum = F();
    for (var i = 0u; i < n.x; i++) {
      let r = ry / s.x - i;
      for (var j = 0u; j < n.y; j++) {
        let q = qx / s.y - j;
        let ok = r < p.oh && q < p.ow && ry - r * s.x < k.x && qx - q * s.y < k.y;
        let o = select(0u, ((at.image * p.oh + r) * p.ow + q) * p.c + channel, ok);
        sum += select(F(), select(F(), dy[o], placed[o] == here), ok);
      }
    }
    dx[row * p.w * p.c + id.x] = sum;
    at = advance(at, hop, p.h);
  }
}
