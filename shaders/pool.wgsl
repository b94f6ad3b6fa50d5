// shaders/pool.wgsl: average and maximum over windows of an NHWC image.
// x, dx: images x h x w x c; y, dy: images x oh x ow x c, channels counted in F (vec4f where 4 divides them, else f32).
// A thread has one place (column, channel) of a row, and walks the rows of all images: y's in avg and max, dx's in the
// gradients, which gather: they visit the windows that their place is in. Padding is never read and never counted.
struct Params {
  rows: u32, h: u32, w: u32, c: u32, oh: u32, ow: u32,
  kh: u32, kw: u32, sh: u32, sw: u32, top: u32, left: u32,
}
@group(0) @binding(0) var<storage, read> x: array<F>;
@group(0) @binding(1) var<storage, read_write> y: array<F>;
@group(0) @binding(1) var<storage, read> best: array<F>;
@group(0) @binding(2) var<storage, read> dy: array<F>;
@group(0) @binding(3) var<storage, read_write> dx: array<F>;
@group(0) @binding(4) var<uniform> p: Params;

alias F = vec4f;
alias U = vec4u;
const WG: u32 = 64u;

// From which and up to which index of a padded axis of size n window o reaches.
fn reach(o: u32, k: u32, s: u32, pad: u32, n: u32) -> vec2u {
  let start = o * s;
  return vec2u(max(start, pad) - pad, min(start + k, pad + n) - pad);
}
// The first and one past the last window that index i is in.
fn windows(i: u32, k: u32, s: u32, pad: u32, count: u32) -> vec2u {
  let at = i + pad;
  return vec2u((max(at + 1u, k) - k + s - 1u) / s, min(at / s + 1u, count));
}

@compute @workgroup_size(WG)
fn avg(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  if (id.x >= p.ow * p.c) { return; }
  let cols = reach(id.x / p.c, p.kw, p.sw, p.left, p.w);
  let channel = id.x % p.c;
  for (var row = id.y; row < p.rows; row += nwg.y) {
    let image = row / p.oh;
    let rows = reach(row - image * p.oh, p.kh, p.sh, p.top, p.h);
    var s = F();
    for (var r = rows.x; r < rows.y; r++) {
      for (var q = cols.x; q < cols.y; q++) { s += x[((image * p.h + r) * p.w + q) * p.c + channel]; }
    }
    y[row * p.ow * p.c + id.x] = s / f32((rows.y - rows.x) * (cols.y - cols.x));
  }
}

@compute @workgroup_size(WG)
fn avgBackward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  if (id.x >= p.w * p.c) { return; }
  let cols = windows(id.x / p.c, p.kw, p.sw, p.left, p.ow);
  let channel = id.x % p.c;
  for (var row = id.y; row < p.rows; row += nwg.y) {
    let image = row / p.h;
    let rows = windows(row - image * p.h, p.kh, p.sh, p.top, p.oh);
    var s = F();
    for (var r = rows.x; r < rows.y; r++) {
      let a = reach(r, p.kh, p.sh, p.top, p.h);
      for (var q = cols.x; q < cols.y; q++) {
        let b = reach(q, p.kw, p.sw, p.left, p.w);
        s += dy[((image * p.oh + r) * p.ow + q) * p.c + channel] / f32((a.y - a.x) * (b.y - b.x));
      }
    }
    dx[row * p.w * p.c + id.x] = s;
  }
}

// NaN wins, and stays. The first of equal numbers wins.
@compute @workgroup_size(WG)
fn max_(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  if (id.x >= p.ow * p.c) { return; }
  let cols = reach(id.x / p.c, p.kw, p.sw, p.left, p.w);
  let channel = id.x % p.c;
  for (var row = id.y; row < p.rows; row += nwg.y) {
    let image = row / p.oh;
    let rows = reach(row - image * p.oh, p.kh, p.sh, p.top, p.h);
    var m = x[((image * p.h + rows.x) * p.w + cols.x) * p.c + channel];
    for (var r = rows.x; r < rows.y; r++) {
      for (var q = cols.x; q < cols.y; q++) {
        let v = x[((image * p.h + r) * p.w + q) * p.c + channel];
        let nan = (bitcast<U>(v) & U(0x7fffffffu)) > U(0x7f800000u);
        m = select(m, v, (v > m) | nan);
      }
    }
    y[row * p.ow * p.c + id.x] = m;
  }
}

// dy goes to the first place of its window that holds the window's maximum, bit for bit, in row order.
@compute @workgroup_size(WG)
fn maxBackward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  if (id.x >= p.w * p.c) { return; }
  let col = id.x / p.c;
  let cols = windows(col, p.kw, p.sw, p.left, p.ow);
  let channel = id.x % p.c;
  for (var row = id.y; row < p.rows; row += nwg.y) {
    let image = row / p.h;
    let rows = windows(row - image * p.h, p.kh, p.sh, p.top, p.oh);
    let own = bitcast<U>(x[row * p.w * p.c + id.x]);
    var s = F();
    for (var r = rows.x; r < rows.y; r++) {
      let a = reach(r, p.kh, p.sh, p.top, p.h);
      for (var q = cols.x; q < cols.y; q++) {
        let at = ((image * p.oh + r) * p.ow + q) * p.c + channel;
        var mine = bitcast<U>(best[at]) == own;
        if (any(mine)) {
          let b = reach(q, p.kw, p.sw, p.left, p.w);
          // All places of the window before this one: whole rows, then the start of its own.
          for (var i = a.x; i <= row - image * p.h; i++) {
            let end = select(b.y, col, i == row - image * p.h);
            for (var j = b.x; j < end; j++) {
              mine = mine & (bitcast<U>(x[((image * p.h + i) * p.w + j) * p.c + channel]) != own);
            }
          }
          s += select(F(), dy[at], mine);
        }
      }
    }
    dx[row * p.w * p.c + id.x] = s;
  }
}
