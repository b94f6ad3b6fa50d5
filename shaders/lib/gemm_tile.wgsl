// shaders/lib/gemm_tile.wgsl: the core of conv2d.wgsl for GPUs: tiles of A and B in shared memory.
// WX x WY threads make ROWS rows x QUADS quads of C each, in steps of DEPTH k. Rows of a thread are WY apart (WEIGHT:
// quads of rows), its quads WX apart: neighbouring threads read neighbouring quads, or the same, and store side by side.
// The tiles lie as they were loaded, A as [m][k quad] (WEIGHT: [k][m quad]), B as [k][n quad] (DATA: [n][k quad]), with a
// quad of padding a row where k is the minor axis. Reading 4 k at a time and naming components is all the transposing.
const T: u32 = WX * WY;
const TILE_M: u32 = WY * ROWS;
const TILE_N: u32 = WX * QUADS * 4u;
const C_ROWS: u32 = ROWS;
const C_QUADS: u32 = QUADS;
const A_LOADS: u32 = TILE_M * STEP / T;
const B_LOADS: u32 = TILE_N * STEP / T;
const A_WIDTH: u32 = select(STEP + 1u, TILE_M / 4u, PASS == WEIGHT);      // quads a row of the tiles
const B_WIDTH: u32 = select(TILE_N / 4u, STEP + 1u, PASS == DATA);
var<workgroup> aTile: array<vec4f, select(TILE_M, DEPTH, PASS == WEIGHT) * A_WIDTH>;
var<workgroup> bTile: array<vec4f, select(DEPTH, TILE_N, PASS == DATA) * B_WIDTH>;
fn tileOf(workgroup: u32, l: u32) -> u32 { return workgroup; }
fn aRow(i: u32, l: u32) -> u32 { return (l + i * T) / STEP; }
fn aQuad(l: u32) -> u32 { return l % STEP; }
fn aPixel(i: u32, l: u32) -> u32 { return (l + i * T) / (TILE_M / 4u); }
fn aRowQuad(i: u32, l: u32) -> u32 { return (l + i * T) % (TILE_M / 4u); }
fn bDepth(i: u32, l: u32) -> u32 { return (l + i * T) / (TILE_N / 4u); }
fn bQuad(i: u32, l: u32) -> u32 { return (l + i * T) % (TILE_N / 4u); }
fn bColumn(i: u32, l: u32) -> u32 { return (l + i * T) / STEP; }
fn bDepthQuad(l: u32) -> u32 { return l % STEP; }
fn cRow(i: u32, l: u32) -> u32 { return select(l / WX + i * WY, (l / WX + i / 4u * WY) * 4u + i % 4u, PASS == WEIGHT); }
fn cQuad(j: u32, l: u32) -> u32 { return l % WX + j * WX; }

fn put(l0: u32) {
  let l = l0 % T;      // says the range again: WGSL compilers do not look through parameters, and would clamp each index
  workgroupBarrier();
  for (var i = 0u; i < A_LOADS; i++) {
    if (PASS == WEIGHT) { aTile[aPixel(i, l) * A_WIDTH + aRowQuad(i, l)] = aShare[i]; }
    else { aTile[aRow(i, l) * A_WIDTH + aQuad(l)] = aShare[i]; }
  }
  for (var i = 0u; i < B_LOADS; i++) {
    if (PASS == DATA) { bTile[bColumn(i, l) * B_WIDTH + bDepthQuad(l)] = bShare[i]; }
    else { bTile[bDepth(i, l) * B_WIDTH + bQuad(i, l)] = bShare[i]; }
  }
  workgroupBarrier();
}

fn multiply(l0: u32) {
  let l = l0 % T;
  for (var k4 = 0u; k4 < STEP; k4++) {       // constant bounds: hand-unrolled calls would bring the clamps back
    var left: array<vec4f, ROWS>;            // [row] over 4 k; WEIGHT: [k * ROWS / 4 + i] over 4 rows
    var right: array<vec4f, QUADS * 4u>;     // [k * QUADS + j] over 4 columns
    for (var i = 0u; i < ROWS; i++) {
      if (PASS == WEIGHT) { left[i] = aTile[(k4 * 4u + i / (ROWS / 4u)) * A_WIDTH + l / WX + i % (ROWS / 4u) * WY]; }
      else { left[i] = aTile[(l / WX + i * WY) * A_WIDTH + k4]; }
    }
    for (var j = 0u; j < QUADS; j++) {
      if (PASS == DATA) {
        var column: array<vec4f, 4>;
        for (var n = 0u; n < 4u; n++) { column[n] = bTile[((l % WX + j * WX) * 4u + n) * B_WIDTH + k4]; }
        for (var k = 0u; k < 4u; k++) {
          right[k * QUADS + j] = vec4f(column[0][k], column[1][k], column[2][k], column[3][k]);
        }
      } else {
        for (var k = 0u; k < 4u; k++) { right[k * QUADS + j] = bTile[(k4 * 4u + k) * B_WIDTH + l % WX + j * WX]; }
      }
    }
    for (var k = 0u; k < 4u; k++) {
      for (var i = 0u; i < ROWS; i++) {
        for (var j = 0u; j < QUADS; j++) {
          var v: f32;
          if (PASS == WEIGHT) { v = left[k * (ROWS / 4u) + i / 4u][i % 4u]; } else { v = left[i][k]; }
          sums[i * QUADS + j] = fma(vec4f(v), right[k * QUADS + j], sums[i * QUADS + j]);
        }
      }
    }
  }
}
