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
// lib/gemm_lanes.wgsl, lib/gemm_tile.wgsl or lib/gemm_registers.wgsl. (Loads: lib/gemm_buffers.wgsl or gemm_images.wgsl.) A core declares
//   T threads, TILE_M x TILE_N elements of C a tile, TILE_K of k a step;
//   A_LOADS, B_LOADS quads that a thread loads a step; C_ROWS x C_QUADS quads of C that it owns;
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
const MASK_A: bool = true;       // a tap can fall outside of the image, or k runs past its end
const MASK_K: bool = false;      // the quads of a tap are no multiple of a step
const BIAS: bool = false;

// Knobs of the cores (each says what they mean to it).
const LANES: u32 = 8u;
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
var<private> sums: array<vec4f, C_ROWS * C_QUADS>;

/// Where a tile lies. Passed by value: what is read back from a private variable counts as non-uniform.
struct Place {
  row0: u32, quad0: u32,         // first row and quad of columns
  slice: u32,
  part: u32,                     // DATA: the stride class; WEIGHT: the split
  offset: vec2u,                 // DATA: the class's first pixel
  extent: vec2u,                 // height and width of the pixels that m (WEIGHT: k) runs over
  rows: u32,                     // rows that there are; 0 where there is no such tile
}

fn quadsOf(channels: u32) -> u32 { return (channels + 3u) / 4u; }
/// Image, row and column of the i-th pixel.
fn pixelOf(i: u32, extent: vec2u) -> vec3u {
  return vec3u(i / (extent.x * extent.y), i / extent.y % extent.x, i % extent.y);
}

/// The first tap of a stride class along one axis, or `kernel` where it reaches none.
fn firstTap(kernel: u32, at: i32, dilation: u32, stride: u32, hop: u32) -> u32 {
  for (var r = 0u; r < hop; r++) {
    if ((at - i32(r * dilation)) % i32(stride) == 0) { return min(r, kernel); }
  }
  return kernel;
}

fn placeOf(tile: u32) -> Place {
  var at: Place;
  let z = tile / (p.columnTiles * p.rowTiles);
  at.row0 = tile / p.columnTiles % p.rowTiles * TILE_M;
  at.quad0 = tile % p.columnTiles * (TILE_N / 4u);
  at.slice = z % p.slices;
  at.part = z / p.slices;
  at.extent = vec2u(p.oh, p.ow);
  if (PASS == DATA) {
    let stride = vec2u(p.strideH, p.strideW);
    at.offset = vec2u(at.part / p.strideW, at.part % p.strideW);
    at.extent = (vec2u(p.h, p.w) - at.offset + stride - 1u) / stride;
  }
  at.rows = p.batch * at.extent.x * at.extent.y;
  if (PASS == WEIGHT) { at.rows = p.kernelH * p.kernelW * quadsOf(p.ci) * 4u; }
  if (tile >= p.tiles || at.row0 >= at.rows) { at.rows = 0u; }
  return at;
}

/// Sums this thread's share of a tile.
fn accumulate(at: Place, l: u32) {
  let extent = at.extent;
  let ci = p.ci;                                         // uniforms are loaded once: not every driver hoists them
  let co = p.co;
  let batch = p.batch;
  let ciQuads = quadsOf(ci);
  let coQuads = quadsOf(co);
  let pixels = batch * extent.x * extent.y;
  let stride = vec2u(p.strideH, p.strideW);
  let image = select(vec2u(p.h, p.w), vec2u(p.oh, p.ow), PASS == DATA);     // of A
  let aPixelStep = select(p.xPixel, p.yPixel, PASS == DATA) / A_UNIT;
  let aBase = at.slice * select(p.xSlice, p.ySlice, PASS == DATA) / A_UNIT;
  let bRowStep = select(p.wRow, p.yPixel, PASS == WEIGHT) / B_UNIT;
  let bBase = at.slice * select(p.wSlice, p.ySlice, PASS == WEIGHT) / B_UNIT;
  let aChannels = select(ci, co, PASS == DATA);
  let hop = vec2u(p.hopH, p.hopW);
  let step = vec2i(p.stepH, p.stepW);
  let pixelStep = select(stride, vec2u(1u), PASS == DATA);    // from one pixel of `extent` to the next, in the image
  let kernel = vec2u(p.kernelH, p.kernelW);

  var tap0 = vec2u();
  var corner0 = -vec2i(p.padTop, p.padLeft);               // the pixel that pixel 0 of the tile reads at tap0
  if (PASS == DATA) {
    let first = vec2i(at.offset) - corner0;
    tap0.x = firstTap(kernel.x, first.x, p.dilationH, stride.x, hop.x);
    tap0.y = firstTap(kernel.y, first.y, p.dilationW, stride.y, hop.y);
    corner0 = (first - vec2i(tap0 * vec2u(p.dilationH, p.dilationW))) / vec2i(stride);
  }
  let partPixels = (pixels + p.splits * DEPTH - 1u) / (p.splits * DEPTH) * DEPTH;
  let k0 = select(0u, at.part * partPixels, PASS == WEIGHT);
  let k1 = min(pixels, k0 + partPixels);

  var pixel: array<vec3u, A_LOADS>;                      // image, row, column of my loads (WEIGHT: of my k)
  var address: array<u32, A_LOADS>;
  var inside: array<bool, A_LOADS>;
  var own: array<vec2i, A_LOADS>;                        // WEIGHT: how far the tap of my rows moves the pixel,
  var ownQuad: array<u32, A_LOADS>;                      // and their channels
  for (var i = 0u; i < A_LOADS; i++) {
    if (PASS == WEIGHT) {
      let m4 = min(at.row0 / 4u + aRowQuad(i, l), at.rows / 4u - 1u);
      let tap = m4 / ciQuads;
      ownQuad[i] = m4 % ciQuads;
      own[i] = corner0 + vec2i(vec2u(tap / kernel.y, tap % kernel.y)) * step;
      pixel[i] = pixelOf(k0 + aPixel(i, l), extent);
    } else {
      pixel[i] = pixelOf(min(at.row0 + aRow(i, l), at.rows - 1u), extent);
    }
  }

  let tapQuads = select(ciQuads, coQuads, PASS == DATA); // quads of k a tap
  let lastQuad = select(coQuads, ciQuads, PASS == DATA) - 1u;
  var steps = (k1 - min(k0, k1) + DEPTH - 1u) / DEPTH;
  if (PASS != WEIGHT) {
    let taps = (kernel - tap0 + hop - 1u) / hop;
    steps = taps.x * taps.y * ((tapQuads + STEP - 1u) / STEP);
  }
  let onward = pixelOf(DEPTH, extent);
  var tap = tap0;
  var corner = corner0;
  var kQuad = 0u;
  for (var t = 0u; t < steps + u32(PREFETCH); t++) {
    if (!PREFETCH || t < steps) {
      if (PASS == WEIGHT || kQuad == 0u) {               // another tap, or other pixels: other addresses
        for (var i = 0u; i < A_LOADS; i++) {
          let read = vec2u(vec2i(pixel[i].yz * pixelStep) + select(corner, own[i], PASS == WEIGHT));
          inside[i] = read.x < image.x && read.y < image.y && (PASS != WEIGHT || pixel[i].x < batch);
          let flat = (pixel[i].x * image.x + read.x) * image.y + read.y;
          address[i] = select(0u, flat * aPixelStep, !MASK_A || inside[i]) + aBase;
        }
      }
      if (PASS == WEIGHT) {
        for (var i = 0u; i < A_LOADS; i++) {
          aShare[i] = select(vec4f(), loadA(address[i], ownQuad[i], aChannels), !MASK_A || inside[i]);
          pixel[i] += onward;                            // carries without loops or divisions
          let carryX = pixel[i].z >= extent.y;
          pixel[i].z -= select(0u, extent.y, carryX);
          pixel[i].y += u32(carryX);
          let carryY = pixel[i].y >= extent.x;
          pixel[i].y -= select(0u, extent.x, carryY);
          pixel[i].x += u32(carryY);
        }
        for (var i = 0u; i < B_LOADS; i++) {
          let k = k0 + t * DEPTH + bDepth(i, l);
          let quad = min(at.quad0 + bQuad(i, l), lastQuad);
          bShare[i] = select(vec4f(), loadB(min(k, k1 - 1u) * bRowStep + bBase, quad, co), k < k1);
        }
      } else {
        for (var i = 0u; i < A_LOADS; i++) {
          let quad = kQuad + aQuad(l);
          let within = !MASK_K || quad < tapQuads;
          let v = loadA(address[i], select(0u, quad, within), aChannels);
          aShare[i] = select(vec4f(), v, (!MASK_A || inside[i]) && within);
        }
        let w0 = (tap.x * kernel.y + tap.y) * ci;        // the tap's first row of w
        for (var i = 0u; i < B_LOADS; i++) {
          if (PASS == FORWARD) {
            let row = kQuad * 4u + bDepth(i, l);
            let within = (X4 && !MASK_K) || row < ci;
            let quad = min(at.quad0 + bQuad(i, l), lastQuad);
            let v = loadB((w0 + select(0u, row, within)) * bRowStep + bBase, quad, co);
            bShare[i] = select(vec4f(), v, within);
          } else {
            let quad = kQuad + bDepthQuad(l);
            let within = !MASK_K || quad < tapQuads;
            let column = min(at.quad0 * 4u + bColumn(i, l), ci - 1u);
            let v = loadB((w0 + column) * bRowStep + bBase, select(0u, quad, within), co);
            bShare[i] = select(vec4f(), v, within);
          }
        }
        kQuad += STEP;
        if (kQuad >= tapQuads) {
          kQuad = 0u;
          tap.y += hop.y;
          corner.y += step.y;
          if (tap.y >= kernel.y) {
            tap = vec2u(tap.x + hop.x, tap0.y);
            corner = vec2i(corner.x + step.x, corner0.y);
          }
        }
      }
    }
    if (PREFETCH) {                                      // step t is on its way while step t - 1 is multiplied
      if (t > 0u) { multiply(l); }
      if (t < steps) { put(l); }
    } else {
      put(l);
      multiply(l);
    }
  }
}

/// Where row m of C begins (in C's own units); rows of padded channels have none.
fn rowOfC(at: Place, m: u32) -> u32 {
  if (PASS == FORWARD) { return (m * p.yPixel + at.slice * p.ySlice) / C_UNIT; }
  if (PASS == DATA) {
    let pixel = pixelOf(m, at.extent);
    let x = pixel.yz * vec2u(p.strideH, p.strideW) + at.offset;
    return (((pixel.x * p.h + x.x) * p.w + x.y) * p.xPixel + at.slice * p.xSlice) / C_UNIT;
  }
  let tap = m / (quadsOf(p.ci) * 4u);
  let ci = m % (quadsOf(p.ci) * 4u);
  return (at.part * p.wSize + (tap * p.ci + ci) * p.wRow + at.slice * p.wSlice) / C_UNIT;
}
fn isRow(at: Place, m: u32) -> bool {
  return m < at.rows && (PASS != WEIGHT || X4 || m % (quadsOf(p.ci) * 4u) < p.ci);
}
@compute @workgroup_size(T)
fn quads(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) l: u32) {
  let at = placeOf(tileOf(wid.y * nwg.x + wid.x, l));
  if (at.rows == 0u) { return; }
  accumulate(at, l);
  let columns = select(p.co, p.ci, PASS == DATA) / 4u;
  for (var i = 0u; i < C_ROWS; i++) {
    let m = at.row0 + cRow(i, l);
    if (!isRow(at, m)) { continue; }
    let row = rowOfC(at, m);
    for (var j = 0u; j < C_QUADS; j++) {
      let quad = at.quad0 + cQuad(j, l);
      if (quad < columns) { c[row + quad] = sums[i * C_QUADS + j] + biasOf(at.slice, quad); }
    }
  }
}

@compute @workgroup_size(T)
fn scalars(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) l: u32) {
  let at = placeOf(tileOf(wid.y * nwg.x + wid.x, l));
  if (at.rows == 0u) { return; }
  accumulate(at, l);
  let columns = select(p.co, p.ci, PASS == DATA);
  for (var i = 0u; i < C_ROWS; i++) {
    let m = at.row0 + cRow(i, l);
    if (!isRow(at, m)) { continue; }
    let row = rowOfC(at, m);
    for (var j = 0u; j < C_QUADS; j++) {
      let quad = at.quad0 + cQuad(j, l);
      let v = sums[i * C_QUADS + j] + biasOf(at.slice, min(quad, quadsOf(columns) - 1u));
      for (var n = 0u; n < 4u; n++) {
        if (quad * 4u + n < columns) { cScalars[row + quad * 4u + n] = v[n]; }
      }
    }
  }
}
