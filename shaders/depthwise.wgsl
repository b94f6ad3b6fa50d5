// shaders/depthwise.wgsl: 2-d convolution of every input channel by itself (NHWC, HWIO), and its gradients
//
//   forward   y[n, i, j, q]  = sum over taps of x[n, i', j', q / m] * w[tap, q]      q: an output channel, m a group
//   data      dx[n, i, j, c] = sum over taps and the m outputs of c of dy * w
//   weight    dw[tap, q]     = sum over pixels of x * dy, in `splits` parts that another dispatch adds
//
// F is vec4f (4 channels a thread; m is 1 then) or f32. forward and data: a thread makes PIXELS neighbours of a row
// (data: of one stride class), so that they share each load of w. weight: a thread has one tap and one part of the
// pixels. Neighbouring threads have neighbouring channels; sizes of channels are in units of F.
struct Params {
  batch: u32, h: u32, w: u32, oh: u32, ow: u32,
  kernelH: u32, kernelW: u32, strideH: u32, strideW: u32,
  dilationH: u32, dilationW: u32, padTop: i32, padLeft: i32,
  channels: u32,                 // of x
  multiplier: u32,               // output channels of one input channel
  pixels: u32,                   // weight: of one part
  threads: u32,
}
alias F = vec4f;
@group(0) @binding(0) var<storage, read> x: array<F>;
@group(0) @binding(0) var<storage, read> dy: array<F>;
@group(0) @binding(1) var<storage, read> w: array<F>;
@group(0) @binding(1) var<storage, read> dyOfWeight: array<F>;
@group(0) @binding(2) var<storage, read> bias: array<F>;        // bound to w where BIAS is false
@group(0) @binding(3) var<storage, read_write> y: array<F>;
@group(0) @binding(4) var<uniform> p: Params;
const BIAS: bool = false;
const PIXELS: u32 = 4u;
const WG: u32 = 64u;

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) l: u32) {
  let t = (wid.y * nwg.x + wid.x) * WG + l;
  if (t >= p.threads) { return; }
  let outputs = p.channels * p.multiplier;
  let runs = (p.ow + PIXELS - 1u) / PIXELS;              // runs of pixels in a row
  let q = t % outputs;
  let row = t / outputs / runs;                          // of all images
  let column = t / outputs % runs * PIXELS;
  let n = row / p.oh;
  let channel = q / p.multiplier;
  var sums: array<F, PIXELS>;
  for (var r = 0u; r < p.kernelH; r++) {
    let i = i32(row % p.oh * p.strideH + r * p.dilationH) - p.padTop;
    if (i < 0 || i >= i32(p.h)) { continue; }
    let line = (n * p.h + u32(i)) * p.w;
    for (var s = 0u; s < p.kernelW; s++) {
      let weight = w[(r * p.kernelW + s) * outputs + q];
      for (var k = 0u; k < PIXELS; k++) {
        let j = i32((column + k) * p.strideW + s * p.dilationW) - p.padLeft;
        let inside = j >= 0 && j < i32(p.w);
        let v = x[(line + select(0u, u32(j), inside)) * p.channels + channel];
        sums[k] = fma(select(F(), v, inside), weight, sums[k]);
      }
    }
  }
  for (var k = 0u; k < PIXELS; k++) {
    if (column + k >= p.ow) { return; }
    var sum = sums[k];
    if (BIAS) { sum += bias[q]; }
    y[(row * p.ow + column + k) * outputs + q] = sum;
  }
}

@compute @workgroup_size(WG)
fn data(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) l: u32) {
  let t = (wid.y * nwg.x + wid.x) * WG + l;
  if (t >= p.threads) { return; }
  let outputs = p.channels * p.multiplier;
  // Columns of one class are strideW apart: they meet the same taps.
  let widest = (p.w + p.strideW - 1u) / p.strideW;
  let runs = (widest + PIXELS - 1u) / PIXELS;
  let channel = t % p.channels;
  let run = t / p.channels % runs;
  let class_ = t / p.channels / runs % p.strideW;
  let row = t / p.channels / runs / p.strideW;
  let n = row / p.h;
  var sums: array<F, PIXELS>;
  for (var r = 0u; r < p.kernelH; r++) {
    let down = i32(row % p.h) + p.padTop - i32(r * p.dilationH);
    if (down < 0 || u32(down) % p.strideH != 0u || u32(down) / p.strideH >= p.oh) { continue; }
    let line = (n * p.oh + u32(down) / p.strideH) * p.ow;
    for (var s = 0u; s < p.kernelW; s++) {
      let across = i32(class_) + p.padLeft - i32(s * p.dilationW);
      if (across % i32(p.strideW) != 0) { continue; }
      let first = across / i32(p.strideW) + i32(run * PIXELS);
      for (var m = 0u; m < p.multiplier; m++) {
        let q = channel * p.multiplier + m;
        let weight = w[(r * p.kernelW + s) * outputs + q];
        for (var k = 0u; k < PIXELS; k++) {
          let j = first + i32(k);
          let inside = j >= 0 && j < i32(p.ow);
          let v = dy[(line + select(0u, u32(j), inside)) * outputs + q];
          sums[k] = fma(select(F(), v, inside), weight, sums[k]);
        }
      }
    }
  }
  for (var k = 0u; k < PIXELS; k++) {
    let j = (run * PIXELS + k) * p.strideW + class_;
    var sum = sums[k];
    if (BIAS) { sum += bias[channel]; }
    if (j < p.w) { y[(row * p.w + j) * p.channels + channel] = sum; }
  }
}

@compute @workgroup_size(WG)
fn weight(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) l: u32) {
  let t = (wid.y * nwg.x + wid.x) * WG + l;
  if (t >= p.threads) { return; }
  let outputs = p.channels * p.multiplier;
  let taps = p.kernelH * p.kernelW;
  let q = t % outputs;
  let tap = t / outputs % taps;
  let first = t / outputs / taps * p.pixels;
  let last = min(first + p.pixels, p.batch * p.oh * p.ow);
  let moved = vec2i(i32(tap / p.kernelW * p.dilationH) - p.padTop, i32(tap % p.kernelW * p.dilationW) - p.padLeft);
  var n = first / (p.oh * p.ow);
  var at = vec2u(first / p.ow % p.oh, first % p.ow);
  var sum = F();
  for (var i = first; i < last; i++) {
    let read = vec2i(at * vec2u(p.strideH, p.strideW)) + moved;
    let inside = all(read >= vec2i()) && all(read < vec2i(vec2u(p.h, p.w)));
    let from_ = select(vec2u(), vec2u(read), inside);
    let v = x[((n * p.h + from_.x) * p.w + from_.y) * p.channels + q / p.multiplier];
    sum = fma(select(F(), v, inside), dyOfWeight[i * outputs + q], sum);
    at.y++;
    if (at.y == p.ow) {
      at = vec2u(at.x + 1u, 0u);
      if (at.x == p.oh) {
        at.x = 0u;
        n++;
      }
    }
  }
  y[t] = sum;
}
