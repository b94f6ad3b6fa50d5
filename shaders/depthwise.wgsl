// shaders/depthwise.wgsl: 2-d convolution of every input channel by itself (NHWC, HWIO), and its gradients
//
//   slide           y[n, i, j, q]  = sum over taps of x[n, i', j', q / m] * w[tap, q]     q: an output channel, m a group
//   slide, DATA     dx[n, i, j, c] = sum over taps and the m outputs of c of dy * w
//   weight          dw[tap, q]     = sum over pixels of x * dy, in `parts` that another dispatch adds
//
// A thread has one channel and PIXELS columns of the image that it walks down (y, dx; weight: dy). It reads each line of
// the other image once, and keeps what the lines have in common: slide the sums of the LINES rows that a line belongs
// to, weight that many rows of dy. So an output costs 1.5 loads of a 3x3 kernel, not 9.
//
// Strides and dilations leave nothing but this walk. Pixels of a class, `classes` apart, read pixels that are a whole
// number of steps apart, as their taps are; `ratio` steps from one pixel to the next (1 unless slide's or weight's
// stride is larger than the dilation). DATA with strides: a class meets every `hop`-th tap alone, from a first one on.
// A kernel larger than TAPS_H x TAPS_W is taken in blocks: slide adds to what it wrote, weight has threads for each.
//
// F is vec4f (4 channels a thread; m is 1 then) or f32; sizes of channels are in units of F. Neighbouring threads have
// neighbouring channels.
struct Params {
  batch: u32,
  readH: u32, readW: u32,        // the image that is read: x, or dy in DATA
  walkH: u32, walkW: u32,        // the image that is walked: y, or dx in DATA, or dy in weight
  kernelH: u32, kernelW: u32, strideH: u32, strideW: u32,
  dilationH: u32, dilationW: u32, padTop: i32, padLeft: i32,
  classesH: u32, classesW: u32, hopH: u32, hopW: u32, stepH: u32, stepW: u32, ratioH: u32, ratioW: u32,
  readChannels: u32, walkChannels: u32,
  multiplier: u32,               // output channels of one input channel
  blocksH: u32, blocksW: u32,
  tapsH: u32,                    // TAPS_H, for loops that shall stay loops
  rows: u32, strips: u32,        // a thread walks so many rows of its class
  parts: u32,                    // weight
  threads: u32,
}
alias F = vec4f;
@group(0) @binding(0) var<storage, read> x: array<F>;
@group(0) @binding(1) var<storage, read> w: array<F>;
@group(0) @binding(1) var<storage, read> dy: array<F>;
@group(0) @binding(2) var<storage, read> bias: array<F>;        // bound to w where BIAS is false
@group(0) @binding(3) var<storage, read_write> y: array<F>;
@group(0) @binding(4) var<uniform> p: Params;
const DATA: bool = false;
const BIAS: bool = false;
const MASK: bool = false;        // a class or a block may lack taps
const BLOCKS: bool = false;      // slide adds several walks up
const TAPS_H: u32 = 3u;
const TAPS_W: u32 = 3u;
const RATIO_H: u32 = 1u;         // p.ratioH, but at most TAPS_H: further lines are nobody's
const RATIO_W: u32 = 1u;
const PIXELS: u32 = 4u;
const WG: u32 = 64u;
const LINES: u32 = (TAPS_H + RATIO_H - 1u) / RATIO_H;
const LINE: u32 = (PIXELS - 1u) * RATIO_W + TAPS_W;             // pixels of a line that a thread reads

var<private> taps: array<F, TAPS_H * TAPS_W>;                   // weight: their sums
var<private> line: array<F, LINE>;
var<private> rows: array<F, LINES * PIXELS>;                    // slide: sums, weight: of dy; the newest first
var<private> insideW: array<bool, LINE>;
var<private> keepH: array<bool, TAPS_H>;                        // taps that there are
var<private> keepW: array<bool, TAPS_W>;

/// The columns of one class that a thread walks down.
struct Walk {
  image: u32,
  class_: vec2u,                 // its pixel 0
  first: vec2u,                  // pixels of the class: row and column
  rows: u32, columns: u32,       // how many there are
}
fn walkOf(i: u32) -> Walk {
  var at: Walk;
  let runs = ((p.walkW + p.classesW - 1u) / p.classesW + PIXELS - 1u) / PIXELS;
  let column = i / runs;
  let strip = column / p.classesW;
  let row = strip / p.strips;
  at.class_ = vec2u(row % p.classesH, column % p.classesW);
  at.first = vec2u(strip % p.strips * p.rows, i % runs * PIXELS);
  at.image = row / p.classesH;
  let all = (vec2u(p.walkH + p.classesH, p.walkW + p.classesW) - 1u - at.class_) / vec2u(p.classesH, p.classesW);
  let left = max(all, at.first) - at.first;
  at.rows = min(left.x, p.rows);
  at.columns = min(left.y, PIXELS);
  return at;
}

/// Where pixel 0 of a class reads its first tap of a block, and which tap that is; the others follow by steps and hops.
struct Reach { pixel: vec2i, tap: vec2i }
fn firstTap(at: i32, dilation: u32, stride: u32, hop: u32, kernel: u32) -> i32 {
  for (var r = 0u; r < hop; r++) {
    if ((at - i32(r * dilation)) % i32(stride) == 0) { return i32(r); }
  }
  return i32(kernel * hop);      // none
}
fn reachOf(class_: vec2u, block: vec2u) -> Reach {
  let kernel = vec2u(p.kernelH, p.kernelW);
  let stride = vec2u(p.strideH, p.strideW);
  let dilation = vec2u(p.dilationH, p.dilationW);
  let hop = vec2u(p.hopH, p.hopW);
  let padding = vec2i(p.padTop, p.padLeft);
  let skipped = block * vec2u(TAPS_H, TAPS_W);
  var at: Reach;
  if (DATA) {                    // backwards, from the last tap
    let pixel = vec2i(class_) + padding;
    let first = vec2i(firstTap(pixel.x, dilation.x, stride.x, hop.x, kernel.x), firstTap(pixel.y, dilation.y, stride.y, hop.y, kernel.y));
    let last = vec2i(skipped + vec2u(TAPS_H, TAPS_W)) - 1;
    at.tap = first + last * vec2i(hop);
    at.pixel = (pixel - first * vec2i(dilation)) / vec2i(stride) - last * vec2i(vec2u(p.stepH, p.stepW));
  } else {
    at.tap = vec2i(skipped);
    at.pixel = vec2i(class_ * stride + skipped * dilation) - padding;
  }
  if (MASK) {
    for (var r = 0u; r < TAPS_H; r++) { keepH[r] = tapOf(at.tap.x, r, hop.x) < kernel.x; }
    for (var s = 0u; s < TAPS_W; s++) { keepW[s] = tapOf(at.tap.y, s, hop.y) < kernel.y; }
  }
  return at;
}
fn tapOf(first: i32, t: u32, hop: u32) -> u32 { return u32(first + i32(t) * select(1, -i32(hop), DATA)); }

/// A row of taps makes room at the end. What loops do so has few loads: 9 or 25 of them take a compiler seconds.
fn shiftTaps() {
  let before = taps;
  for (var i = TAPS_W; i < TAPS_H * TAPS_W; i++) { taps[i - TAPS_W] = before[i]; }
}

/// Lines of the image that is read, as a thread goes down them: addresses are sums, and uniforms are loaded once.
struct Lines {
  row: i32,
  rows: u32,                     // of the image
  address: u32,                  // of the first pixel; anything where that is outside
  rowStep: i32, lineStep: u32,   // to the next line: rows, addresses
  rowHop: i32, lineHop: u32,     // to the next pixel's own line
  tapStep: u32, pixelStep: u32,  // along a line: addresses
}
fn linesOf(at: Walk, reach: Reach, channel: u32) -> Lines {
  let ratio = vec2u(p.ratioH, p.ratioW);
  let step = vec2u(p.stepH, p.stepW);
  let pixel = reach.pixel + vec2i(at.first * ratio * step);
  var lines: Lines;
  lines.row = pixel.x;
  lines.rows = p.readH;
  lines.address = ((at.image * p.readH + u32(pixel.x)) * p.readW + u32(pixel.y)) * p.readChannels + channel;
  lines.rowStep = i32(step.x);
  lines.lineStep = step.x * p.readW * p.readChannels;
  lines.rowHop = i32(ratio.x * step.x);
  lines.lineHop = ratio.x * lines.lineStep;
  lines.tapStep = step.y * p.readChannels;
  lines.pixelStep = ratio.y * lines.tapStep;
  for (var i = 0u; i < LINE; i++) { insideW[i] = u32(pixel.y) + (i / RATIO_W * ratio.y + i % RATIO_W) * step.y < p.readW; }
  return lines;
}
/// Fills `line`, with zeros outside of the image.
fn readLine(at: Lines, e: u32) {
  let insideH = u32(at.row + i32(e) * at.rowStep) < at.rows;
  let first = at.address + e * at.lineStep;
  for (var i = 0u; i < LINE; i++) {
    let inside = insideH && insideW[i];
    let address = first + i / RATIO_W * at.pixelStep + i % RATIO_W * at.tapStep;
    line[i] = select(F(), x[select(0u, address, inside)], inside);
  }
}

/// The line is `e` lines into a pixel's own: its tap in the rows before. Calls with constants only: see `addLine`.
fn slideRow(j: u32, e: u32) {
  let r = j * RATIO_H + e;
  for (var k = 0u; k < PIXELS; k++) {
    var sum = rows[j * PIXELS + k];
    for (var s = 0u; s < TAPS_W; s++) {
      let more = fma(line[k * RATIO_W + s], taps[r * TAPS_W + s], sum);
      sum = select(sum, more, !MASK || (keepH[r] && keepW[s]));
    }
    rows[j * PIXELS + k] = sum;
  }
}
fn weightRow(j: u32, e: u32) {
  let r = j * RATIO_H + e;
  for (var s = 0u; s < TAPS_W; s++) {
    var sum = taps[r * TAPS_W + s];
    for (var k = 0u; k < PIXELS; k++) { sum = fma(line[k * RATIO_W + s], rows[j * PIXELS + k], sum); }
    taps[r * TAPS_W + s] = sum;
  }
}
fn addRow(j: u32, e: u32, toTaps: bool) {
  if (toTaps) { weightRow(j, e); } else { slideRow(j, e); }
}
// Written out, not a loop: lavapipe's compiler gives up on unrolling this nest, and sums would stay in memory.
fn addLine(e: u32, toTaps: bool) {
  addRow(0u, e, toTaps);
  if (RATIO_H + e < TAPS_H) { addRow(1u, e, toTaps); }
  if (2u * RATIO_H + e < TAPS_H) { addRow(2u, e, toTaps); }
  if (3u * RATIO_H + e < TAPS_H) { addRow(3u, e, toTaps); }
  if (4u * RATIO_H + e < TAPS_H) { addRow(4u, e, toTaps); }
  if (5u * RATIO_H + e < TAPS_H) { addRow(5u, e, toTaps); }
  if (6u * RATIO_H + e < TAPS_H) { addRow(6u, e, toTaps); }
}
fn oneLine(at: Lines, e: u32, toTaps: bool) {
  readLine(at, e);
  addLine(e, toTaps);
}
fn addLines(at: Lines, toTaps: bool) {
  oneLine(at, 0u, toTaps);
  if (RATIO_H > 1u) { oneLine(at, 1u, toTaps); }
  if (RATIO_H > 2u) { oneLine(at, 2u, toTaps); }
  if (RATIO_H > 3u) { oneLine(at, 3u, toTaps); }
  if (RATIO_H > 4u) { oneLine(at, 4u, toTaps); }
  if (RATIO_H > 5u) { oneLine(at, 5u, toTaps); }
  if (RATIO_H > 6u) { oneLine(at, 6u, toTaps); }
}
/// The newest row becomes the one before, and so on. (Loops that count down, lavapipe's compiler does not unroll.)
fn shift() {
  let before = rows;
  for (var i = PIXELS; i < LINES * PIXELS; i++) { rows[i] = before[i - PIXELS]; }
}

@compute @workgroup_size(WG)
fn slide(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) l: u32) {
  let t = (wid.y * nwg.x + wid.x) * WG + l;
  if (t >= p.threads) { return; }
  let channel = t % p.walkChannels;
  let at = walkOf(t / p.walkChannels);
  if (at.rows == 0u) { return; }
  let outputs = select(p.walkChannels, p.readChannels, DATA);
  let blocks = p.blocksH * p.blocksW;
  for (var walk = 0u; walk < select(1u, blocks * select(1u, p.multiplier, DATA), BLOCKS); walk++) {
    let reach = reachOf(at.class_, vec2u(walk / p.blocksW % p.blocksH, walk % p.blocksW));
    let output = select(channel, channel * p.multiplier + walk / blocks, DATA);
    for (var r = 0u; r < p.tapsH; r++) {
      shiftTaps();
      let tap = tapOf(reach.tap.x, r, p.hopH);
      for (var i = 0u; i < TAPS_W; i++) {
        let at = (tap * p.kernelW + tapOf(reach.tap.y, i, p.hopW)) * outputs + output;
        taps[(TAPS_H - 1u) * TAPS_W + i] = w[select(0u, at, !MASK || (tap < p.kernelH && keepW[i]))];
      }
    }
    for (var i = 0u; i < LINES * PIXELS; i++) { rows[i] = F(); }
    var lines = linesOf(at, reach, select(channel / p.multiplier, output, DATA));
    let columnStep = p.classesW * p.walkChannels;
    let rowStep = p.classesH * p.walkW * p.walkChannels;
    let pixel = at.class_ + at.first * vec2u(p.classesH, p.classesW);
    var to = ((at.image * p.walkH + pixel.x) * p.walkW + pixel.y) * p.walkChannels + channel - (LINES - 1u) * rowStep;
    var start = F();
    if (BIAS) { start = bias[channel]; }
    for (var turn = 0u; turn < at.rows + LINES - 1u; turn++) {
      addLines(lines, false);
      lines.row += lines.rowHop;
      lines.address += lines.lineHop;
      if (turn >= LINES - 1u) {
        for (var k = 0u; k < PIXELS; k++) {
          if (k < at.columns) {
            var sum = rows[(LINES - 1u) * PIXELS + k];
            if (BLOCKS && walk > 0u) { sum += y[to + k * columnStep]; } else if (BIAS) { sum += start; }
            y[to + k * columnStep] = sum;
          }
        }
      }
      to += rowStep;
      shift();
      for (var k = 0u; k < PIXELS; k++) { rows[k] = F(); }
    }
  }
}

@compute @workgroup_size(WG)
fn weight(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) l: u32) {
  let t = (wid.y * nwg.x + wid.x) * WG + l;
  if (t >= p.threads) { return; }
  let outputs = p.walkChannels;
  let output = t % outputs;
  let block = vec2u(t / outputs / p.blocksW % p.blocksH, t / outputs % p.blocksW);
  let part = t / outputs / (p.blocksH * p.blocksW);
  let runs = ((p.walkW + p.classesW - 1u) / p.classesW + PIXELS - 1u) / PIXELS;
  let walks = p.batch * p.classesH * p.strips * p.classesW * runs;
  for (var i = 0u; i < TAPS_H * TAPS_W; i++) { taps[i] = F(); }
  for (var walk = part; walk < walks; walk += p.parts) {
    let at = walkOf(walk);
    let reach = reachOf(at.class_, block);
    for (var i = 0u; i < LINES * PIXELS; i++) { rows[i] = F(); }
    var lines = linesOf(at, reach, output / p.multiplier);
    let columnStep = p.classesW * outputs;
    let rowStep = p.classesH * p.walkW * outputs;
    let pixel = at.class_ + at.first * vec2u(p.classesH, p.classesW);
    var from_ = ((at.image * p.walkH + pixel.x) * p.walkW + pixel.y) * outputs + output;
    for (var turn = 0u; turn < at.rows + LINES - 1u; turn++) {
      shift();
      for (var k = 0u; k < PIXELS; k++) {
        let inside = turn < at.rows && k < at.columns;
        rows[k] = select(F(), dy[select(0u, from_ + k * columnStep, inside)], inside);
      }
      from_ += rowStep;
      addLines(lines, true);
      lines.row += lines.rowHop;
      lines.address += lines.lineHop;
    }
  }
  for (var r = 0u; r < p.tapsH; r++) {
    let tap = vec2u(block.x * TAPS_H + r, block.y * TAPS_W);
    let to = ((part * p.kernelH + tap.x) * p.kernelW + tap.y) * outputs + output;
    for (var i = 0u; i < TAPS_W; i++) {
      if (tap.x < p.kernelH && tap.y + i < p.kernelW) { y[to + i * outputs] = taps[i]; }
    }
    shiftTaps();
  }
}
