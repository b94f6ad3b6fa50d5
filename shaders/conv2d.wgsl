// shaders/conv2d.wgsl: grouped 2-d convolution (NHWC, HWIO) and matrix products, as one implicit matrix product
//
//   C[m, n] = sum over k of A[m, k] * B[k, n]
//
//   pass       m               k              n    A               B               C
//   FORWARD    output pixel    (tap, ci)      co   x  (along k)    w  (along n)    y
//   DATA       input pixel     (tap, co)      ci   dy (along k)    w  (along k)    dx
//   WEIGHT     (tap, ci)       output pixel   co   x  (along m)    dy (along n)    dw, or the partial sums of a split
//
// This file knows convolution: it turns (m, k) and (k, n) into addresses, and fills a thread's share of one step.
// How a tile of C is shared out over threads and multiplied is the business of the core that is appended to it:
// lib/gemm_lanes.wgsl, lib/gemm_tile.wgsl or lib/gemm_registers.wgsl. (Loads are in lib/gemm_buffers.wgsl or
// lib/gemm_images.wgsl, the places of tiles in lib/gemm_place.wgsl.) A core declares
//   T threads, TILE_M x TILE_N elements of C a tile, TILE_K of k a step;
//   A_LOADS, B_LOADS quads that a thread loads a step, of A_PIXELS pixels; C_ROWS x C_QUADS quads of C that it owns;
//   PASSES: it works out the addresses of C_OWN rows of C (ownRow), and passRow() gives it those of the others;
//   tileOf(); which row, column or k its i-th load is (aRow, aQuad, ...); put() and multiply() of one step.
//
// A quad is 4 neighbouring channels of one slice, one vec4f. A slice is a group, or one product of a batch. Channels
// that are no multiple of 4 take the guarded scalar loads of X4 = false or Y4 = false and the entry point `scalars`.
// DATA with strides: the pixels of x fall into strideH * strideW classes, and a class uses only the taps it can reach.
// Grid: tiles in one row (split in y where it is too long): columns first, then rows, slices, classes or splits.
struct Params {
  batch: u32, h: u32, w: u32, oh: u32, ow: u32,
  kernelH: u32, kernelW: u32, strideH: u32, strideW: u32,
  hopH: u32, hopW: u32,          // taps that a stride class reaches are so far apart (1 unless DATA)
  dilationH: u32, dilationW: u32,
  stepH: i32, stepW: i32,        // how far the read pixel moves from one tap to the next
  padTop: i32, padLeft: i32,
  ci: u32, co: u32,              // channels of one slice
  slices: u32, splits: u32,
  xPixel: u32, yPixel: u32, wRow: u32,       // elements from one pixel, or row of w, to the next
  xSlice: u32, ySlice: u32, wSlice: u32,     // elements from one slice to the next
  wSize: u32,                                // elements of w
  columnTiles: u32, rowTiles: u32, tiles: u32,
}
alias AElement = vec4f;          // f32 where the channels of A, B or C are no multiple of 4
alias BElement = vec4f;
alias CElement = vec4f;
@group(0) @binding(0) var<storage, read> a: array<AElement>;
@group(0) @binding(1) var<storage, read> b: array<BElement>;
@group(0) @binding(2) var<storage, read> bias: array<CElement>;     // of C's columns; bound to b where BIAS is false
@group(0) @binding(3) var<storage, read_write> c: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> cScalars: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

const FORWARD: u32 = 0u;
const DATA: u32 = 1u;
const WEIGHT: u32 = 2u;
const PASS: u32 = 0u;
const X4: bool = true;           // ci is a multiple of 4: quads of x are whole
const Y4: bool = true;           // co is
const MASK_A: bool = true;       // a tap can fall outside of the image
const MASK_K: bool = false;      // the quads of a tap (WEIGHT: the pixels) are no multiple of a step
const BIAS: bool = false;

// Knobs of the cores (each says what they mean to it).
const LANES: u32 = 8u;
const HIGH: u32 = LANES;
const WX: u32 = 4u;
const WY: u32 = 1u;
const ROWS: u32 = 4u;
const QUADS: u32 = 1u;
const DEPTH: u32 = 4u;
const PREFETCH: bool = false;

const A4: bool = select(X4, Y4, PASS == DATA);
const C4: bool = select(Y4, X4, PASS == DATA);
const A_UNIT: u32 = select(1u, 4u, A4);      // elements to one of a's, b's and c's own
const B_UNIT: u32 = select(1u, 4u, Y4);
const C_UNIT: u32 = select(1u, 4u, C4);
const STEP: u32 = DEPTH / 4u;                // quads of k a step

var<private> aShare: array<vec4f, A_LOADS>;  // this thread's loads of one step
var<private> bShare: array<vec4f, B_LOADS>;
var<private> aKeep: array<bool, A_LOADS>;    // false where a load is padding
var<private> bKeep: array<bool, B_LOADS>;
var<private> sums: array<vec4f, C_ROWS * C_QUADS>;

/// 0 in place of padding: at once, or in PREFETCH when it is put away, since to use a load is to wait for it.
fn maskEarly(v: vec4f, keep: bool) -> vec4f {
  if (PREFETCH) { return v; }
  return select(vec4f(), v, keep);
}
fn give(l: u32) {
  if (PREFETCH) {
    for (var i = 0u; i < A_LOADS; i++) { aShare[i] = select(vec4f(), aShare[i], aKeep[i]); }
    for (var i = 0u; i < B_LOADS; i++) { bShare[i] = select(vec4f(), bShare[i], bKeep[i]); }
  }
  put(l);
}

/// Sums this thread's share of a tile.
fn accumulate(at: Place, l: u32) {
  let extent = at.extent;
  let ci = p.ci;                                         // uniforms are loaded once: not every driver hoists them
  let co = p.co;
  let image = select(vec2u(p.h, p.w), vec2u(p.oh, p.ow), PASS == DATA);     // of A
  let aPixelStep = select(p.xPixel, p.yPixel, PASS == DATA) / A_UNIT;
  let aChannels = select(ci, co, PASS == DATA);
  let bRowStep = select(p.wRow, p.yPixel, PASS == WEIGHT) / B_UNIT;
  let hop = vec2u(p.hopH, p.hopW);
  let step = vec2i(p.stepH, p.stepW);
  let stride = vec2u(p.strideH, p.strideW);
  let pixelStep = select(stride, vec2u(1u), PASS == DATA);    // from one pixel of `extent` to the next, in the image
  let kernel = vec2u(p.kernelH, p.kernelW);

  var tap0 = vec2u();
  var corner = -vec2i(p.padTop, p.padLeft);              // the pixel that pixel 0 of the tile reads at tap0
  if (PASS == DATA) {
    let first = vec2i(at.offset) - corner;
    tap0.x = firstTap(kernel.x, first.x, p.dilationH, stride.x, hop.x);
    tap0.y = firstTap(kernel.y, first.y, p.dilationW, stride.y, hop.y);
    corner = (first - vec2i(tap0 * vec2u(p.dilationH, p.dilationW))) / vec2i(stride);
  }
  let pixels = p.batch * extent.x * extent.y;
  let partPixels = (pixels + p.splits * DEPTH - 1u) / (p.splits * DEPTH) * DEPTH;
  let k0 = select(0u, at.part * partPixels, PASS == WEIGHT);
  let k1 = max(k0, min(pixels, k0 + partPixels));
  let tapQuads = select(quadsOf(ci), quadsOf(co), PASS == DATA);            // quads of k a tap
  let lastQuad = select(quadsOf(co), quadsOf(ci), PASS == DATA) - 1u;
  var steps = (k1 - k0 + DEPTH - 1u) / DEPTH;
  if (PASS != WEIGHT) {
    let taps = (kernel - tap0 + hop - 1u) / hop;
    steps = taps.x * taps.y * ((tapQuads + STEP - 1u) / STEP);
  }

  // An address is a sum: what is a load's own is kept, what a step or a tap adds is the same for all threads.
  // Differences wrap around: an address outside of the image may be anything, and is not read.
  var pixel: array<vec2i, A_PIXELS>;                     // of the image, at tap0 (WEIGHT: without the tap)
  var aOwn: array<u32, A_PIXELS>;
  for (var i = 0u; i < A_PIXELS; i++) {
    var m = min(at.row0 + aRow(i, l), at.rows - 1u);
    if (PASS == WEIGHT) { m = k0 + aPixel(i, l); }
    let place = pixelOf(m, extent);
    pixel[i] = vec2i(place.yz * pixelStep);
    if (PASS != WEIGHT) { pixel[i] += corner; }
    let flat = (place.x * image.x + u32(pixel[i].x)) * image.y + u32(pixel[i].y);
    aOwn[i] = flat * aPixelStep + at.slice * select(p.xSlice, p.ySlice, PASS == DATA) / A_UNIT;
    if (PASS != WEIGHT && A4) { aOwn[i] += aQuad(l); }
  }
  var ownTap: array<vec2i, A_LOADS>;                     // WEIGHT: how far the tap of my rows moves the pixel,
  var ownAddress: array<u32, A_LOADS>;                   // and the address
  var ownQuad: array<u32, A_LOADS>;
  if (PASS == WEIGHT) {
    for (var i = 0u; i < A_LOADS; i++) {
      let m4 = min(at.row0 / 4u + aRowQuad(i, l), at.rows / 4u - 1u);
      let tap = m4 / quadsOf(ci);
      ownTap[i] = corner + vec2i(vec2u(tap / kernel.y, tap % kernel.y)) * step;
      ownAddress[i] = (u32(ownTap[i].x) * image.y + u32(ownTap[i].y)) * aPixelStep;
      ownQuad[i] = m4 % quadsOf(ci);
      if (A4) { ownAddress[i] += ownQuad[i]; }
    }
  }
  var bOwn: array<u32, B_LOADS>;
  var bQuads: array<u32, B_LOADS>;                       // quads of the columns (DATA: of k)
  for (var i = 0u; i < B_LOADS; i++) {
    var row = bDepth(i, l);
    bQuads[i] = min(at.quad0 + bQuad(i, l), lastQuad);
    if (PASS == DATA) {
      row = min(at.quad0 * 4u + bColumn(i, l), ci - 1u);
      bQuads[i] = bDepthQuad(i, l);
    }
    bOwn[i] = row * bRowStep + at.slice * select(p.wSlice, p.ySlice, PASS == WEIGHT) / B_UNIT;
    if (Y4) { bOwn[i] += bQuads[i]; }
  }

  // WEIGHT: DEPTH pixels onward, and what a carry to the next row or image takes back.
  let onward = pixelOf(DEPTH, extent);
  let onwardPixel = vec2i(onward.yz * stride);
  let onwardAddress = ((onward.x * image.x + u32(onwardPixel.x)) * image.y + u32(onwardPixel.y)) * aPixelStep;
  let end = vec2i(extent * stride);
  let rowCarry = (stride.x * image.y - u32(end.y)) * aPixelStep;
  let imageCarry = (image.x - u32(end.x)) * image.y * aPixelStep;

  var tap = tap0;
  var moved = vec2i();                                   // of the pixels, since tap0
  var kQuad = 0u;
  var bMoved = select((tap.x * kernel.y + tap.y) * ci, k0, PASS == WEIGHT) * bRowStep;
  let bStep = select(DEPTH * bRowStep, select(0u, STEP, Y4), PASS == DATA);
  var address: array<u32, A_LOADS>;
  var inside: array<bool, A_LOADS>;
  for (var t = 0u; t < steps + u32(PREFETCH); t++) {     // in PREFETCH the last turn's loads are for nobody
    if (PASS == WEIGHT) {
      let left = k1 - k0 - t * DEPTH;
      for (var i = 0u; i < A_LOADS; i++) {
        let j = i * A_PIXELS / A_LOADS;
        let read = vec2u(pixel[j] + ownTap[i]);
        aKeep[i] = (!MASK_A || (read.x < image.x && read.y < image.y)) && (!MASK_K || aPixel(i, l) < left);
        let address = select(0u, aOwn[j] + ownAddress[i], aKeep[i]);
        aShare[i] = maskEarly(loadA(address, select(ownQuad[i], 0u, A4), aChannels), aKeep[i]);
      }
      for (var i = 0u; i < B_LOADS; i++) {
        bKeep[i] = !MASK_K || bDepth(i, l) < left;
        bShare[i] = maskEarly(loadB(bOwn[i] + bMoved, select(bQuads[i], 0u, Y4), co), bKeep[i]);
      }
      for (var i = 0u; i < A_PIXELS; i++) {              // carries without loops or divisions
        pixel[i] += onwardPixel;
        let nextRow = pixel[i].y >= end.y;
        pixel[i] += select(vec2i(), vec2i(i32(stride.x), -end.y), nextRow);
        let nextImage = pixel[i].x >= end.x;
        pixel[i].x -= select(0, end.x, nextImage);
        aOwn[i] += onwardAddress + select(0u, rowCarry, nextRow) + select(0u, imageCarry, nextImage);
      }
      bMoved += bStep;
    } else {
      if (kQuad == 0u) {                                 // another tap
        let shift = (u32(moved.x) * image.y + u32(moved.y)) * aPixelStep;
        for (var i = 0u; i < A_LOADS; i++) {
          let read = vec2u(pixel[i] + moved);
          inside[i] = !MASK_A || (read.x < image.x && read.y < image.y);
          address[i] = select(0u, aOwn[i] + shift, inside[i]);
        }
      }
      for (var i = 0u; i < A_LOADS; i++) {
        aKeep[i] = inside[i] && (!MASK_K || kQuad + aQuad(l) < tapQuads);
        aShare[i] = maskEarly(loadA(address[i], kQuad + select(aQuad(l), 0u, A4), aChannels), aKeep[i]);
      }
      for (var i = 0u; i < B_LOADS; i++) {
        if (PASS == FORWARD) {
          bKeep[i] = (X4 && !MASK_K) || kQuad * 4u + bDepth(i, l) < ci;
          bShare[i] = maskEarly(loadB(bOwn[i] + bMoved, select(bQuads[i], 0u, Y4), co), bKeep[i]);
        } else {
          bKeep[i] = !MASK_K || kQuad + bQuads[i] < tapQuads;
          bShare[i] = maskEarly(loadB(bOwn[i] + bMoved, select(kQuad + bQuads[i], 0u, Y4), co), bKeep[i]);
        }
      }
      kQuad += STEP;
      bMoved += bStep;
      if (kQuad >= tapQuads) {
        kQuad = 0u;
        tap.y += hop.y;
        moved.y += step.y;
        if (tap.y >= kernel.y) {
          tap = vec2u(tap.x + hop.x, tap0.y);
          moved = vec2i(moved.x + step.x, 0);
        }
        bMoved = (tap.x * kernel.y + tap.y) * ci * bRowStep;
      }
    }
    if (PREFETCH && p.batch == 0u) {
      give(l);
      break;
    }
    if (PREFETCH && t > 0u) { multiply(l); }             // step t is on its way while step t - 1 is multiplied
    give(l);
    if (!PREFETCH) { multiply(l); }
  }
}

@compute @workgroup_size(T)
fn quads(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) l: u32) {
  let at = placeOf(tileOf(wid.y * nwg.x + wid.x, l));
  if (at.rows == 0u) { return; }
  accumulate(at, l);
  let own = ownRows(at, l);
  if (PASSES) { // all of this loop is uniform, for the shuffle; the other is faster without one
    for (var i = 0u; i < C_ROWS; i++) {
      let row = passRow(own[i / (C_ROWS / C_OWN)], i);
      if (row != NONE) { storeQuads(at, i, row, l); }
    }
    return;
  }
  for (var i = 0u; i < C_ROWS; i++) {
    let m = at.row0 + cRow(i, l);
    if (!isRow(at, m)) { continue; }
    storeQuads(at, i, rowOfC(at, m), l);
  }
}

@compute @workgroup_size(T)
fn scalars(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) l: u32) {
  let at = placeOf(tileOf(wid.y * nwg.x + wid.x, l));
  if (at.rows == 0u) { return; }
  accumulate(at, l);
  let own = ownRows(at, l);
  if (PASSES) {
    for (var i = 0u; i < C_ROWS; i++) {
      let row = passRow(own[i / (C_ROWS / C_OWN)], i);
      if (row != NONE) { storeScalars(at, i, row, l); }
    }
    return;
  }
  for (var i = 0u; i < C_ROWS; i++) {
    let m = at.row0 + cRow(i, l);
    if (!isRow(at, m)) { continue; }
    storeScalars(at, i, rowOfC(at, m), l);
  }
}
