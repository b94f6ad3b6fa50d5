// shaders/lib/gemm_place.wgsl: where a tile of conv2d.wgsl lies: its rows, columns, slice, and stride class or split;
// where its rows of C begin, and how one is stored.

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
const NONE: u32 = 0xffffffffu;
/// PASSES: where the rows begin that this thread works out, or NONE. It takes divisions; others have it from here.
fn ownRows(at: Place, l: u32) -> array<u32, C_OWN> {
  var rows: array<u32, C_OWN>;
  if (PASSES) {
    for (var i = 0u; i < C_OWN; i++) {
      let m = at.row0 + ownRow(i, l);
      rows[i] = select(NONE, rowOfC(at, m), isRow(at, m));
    }
  }
  return rows;
}

/// Stores the thread's i-th row of the tile at `row`.
fn storeQuads(at: Place, i: u32, row: u32, l: u32) {
  let columns = select(p.co, p.ci, PASS == DATA) / 4u;
  for (var j = 0u; j < C_QUADS; j++) {
    let quad = at.quad0 + cQuad(j, l);
    if (quad < columns) { c[row + quad] = sums[i * C_QUADS + j] + biasOf(at.slice, quad); }
  }
}
fn storeScalars(at: Place, i: u32, row: u32, l: u32) {
  let columns = select(p.co, p.ci, PASS == DATA);
  for (var j = 0u; j < C_QUADS; j++) {
    let quad = at.quad0 + cQuad(j, l);
    let v = sums[i * C_QUADS + j] + biasOf(at.slice, min(quad, quadsOf(columns) - 1u));
    for (var n = 0u; n < 4u; n++) {
      if (quad * 4u + n < columns) { cScalars[row + quad * 4u + n] = v[n]; }
    }
  }
}
