// shaders/lib/gemm_tile.wgsl: the core of conv2d.wgsl for GPUs: tiles of A and B in shared memory.
// WX x WY threads make ROWS rows x QUADS quads of C each, in steps of DEPTH k. Rows of a thread are WY apart (WEIGHT:
// quads of rows), its quads WX apart: neighbouring threads read neighbouring quads, or the same, and store side by side.
// The tiles lie as they were loaded: A as [m][k quad] (WEIGHT: [k][m quad]), B as [k][n quad]. Reading 4 k at a time and
// naming components is all the transposing. DATA: B as [n][k quad], columns 4 apart in neighbouring rows, and the quads
// of a row turned round by the row: 8 threads that read one k of 8 neighbouring quads of columns meet no bank twice.
const T: u32 = WX * WY;
const TILE_M: u32 = WY * ROWS;
const TILE_N: u32 = WX * QUADS * 4u;
const C_ROWS: u32 = ROWS;
const PASSES: bool = false;
const C_OWN: u32 = 1u;
const C_QUADS: u32 = QUADS;
const A_LOADS: u32 = TILE_M * STEP / T;
const B_LOADS: u32 = TILE_N * STEP / T;
const A_PIXELS: u32 = select(A_LOADS, 1u, PASS == WEIGHT);
const M_QUADS: u32 = TILE_M / 4u;
const N_QUADS: u32 = TILE_N / 4u;
const SIDE: u32 = T / DEPTH;          // WEIGHT: threads that share a pixel of A
const TURN: u32 = max(1u, 8u / STEP); // DATA: rows of B that have their quads in the same order
const_assert WX % 8u == 0u;           // so that quads of columns WX apart are turned alike
var<workgroup> aTile: array<vec4f, TILE_M * STEP>;
var<workgroup> bTile: array<vec4f, TILE_N * STEP>;
fn tileOf(workgroup: u32, l: u32) -> u32 { return workgroup; }
fn aRow(i: u32, l: u32) -> u32 { return (l + i * T) / STEP; }
fn aQuad(l: u32) -> u32 { return l % STEP; }
fn aPixel(i: u32, l: u32) -> u32 { return l / SIDE; }
fn aRowQuad(i: u32, l: u32) -> u32 { return l % SIDE + i * SIDE; }
fn bDepth(i: u32, l: u32) -> u32 { return (l + i * T) / N_QUADS; }
fn bQuad(i: u32, l: u32) -> u32 { return (l + i * T) % N_QUADS; }
fn bColumn(i: u32, l: u32) -> u32 {
  let row = (l + i * T) / STEP;
  return row % N_QUADS * 4u + row / N_QUADS;
}
fn bDepthQuad(i: u32, l: u32) -> u32 { return (l % STEP) ^ ((l + i * T) / STEP % N_QUADS / TURN % STEP); }
fn cRow(i: u32, l: u32) -> u32 { return select(l / WX + i * WY, (l / WX + i / 4u * WY) * 4u + i % 4u, PASS == WEIGHT); }
fn ownRow(i: u32, l: u32) -> u32 { return 0u; }
fn passRow(own: u32, i: u32) -> u32 { return own; }
fn cQuad(j: u32, l: u32) -> u32 { return l % WX + j * WX; }

fn put(l0: u32) {
  let l = l0 % T;      // says the range again: WGSL compilers do not look through parameters, and would clamp each index
  workgroupBarrier();
  for (var i = 0u; i < A_LOADS; i++) {
    if (PASS == WEIGHT) { aTile[l / SIDE * M_QUADS + l % SIDE + i * SIDE] = aShare[i]; }
    else { aTile[l + i * T] = aShare[i]; }
  }
  for (var i = 0u; i < B_LOADS; i++) { bTile[l + i * T] = bShare[i]; }
  workgroupBarrier();
}

fn multiply(l0: u32) {
  let l = l0 % T;
  for (var k4 = 0u; k4 < STEP; k4++) {       // constant bounds: hand-unrolled calls would bring the clamps back
    var left: array<vec4f, ROWS>;            // [row] over 4 k; WEIGHT: [k * ROWS / 4 + i] over 4 rows
    var right: array<vec4f, QUADS * 4u>;     // [k * QUADS + j] over 4 columns
    for (var i = 0u; i < ROWS; i++) {        // constants are added last: they become part of the instruction
      if (PASS == WEIGHT) { left[i] = aTile[k4 * 4u * M_QUADS + l / WX + (i / (ROWS / 4u) * M_QUADS + i % (ROWS / 4u) * WY)]; }
      else { left[i] = aTile[l / WX * STEP + k4 + i * WY * STEP]; }
    }
    if (PASS == DATA) {                      // a column at a time: none has to be transposed
      let first = l % WX * STEP + (k4 ^ (l % WX / TURN)) % STEP;
      for (var j = 0u; j < QUADS; j++) {
        for (var n = 0u; n < 4u; n++) {
          let column = bTile[first + (n * N_QUADS + j * WX) * STEP];
          for (var k = 0u; k < 4u; k++) {
            for (var i = 0u; i < ROWS; i++) {
              sums[i * QUADS + j][n] = fma(left[i][k], column[k], sums[i * QUADS + j][n]);
            }
          }
        }
      }
      continue;
    }
    for (var j = 0u; j < QUADS; j++) {
      for (var k = 0u; k < 4u; k++) { right[k * QUADS + j] = bTile[k4 * 4u * N_QUADS + l % WX + (k * N_QUADS + j * WX)]; }
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
