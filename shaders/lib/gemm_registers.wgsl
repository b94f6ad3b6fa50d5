// shaders/lib/gemm_registers.wgsl: the core of conv2d.wgsl that any adapter can run: no shared memory, no subgroups.
// Every thread makes a tile of its own, ROWS rows (a multiple of 4) x QUADS quads, straight from storage, 4 k a step.
// For software adapters without subgroups; and for slices so narrow that most columns of a wide tile would be empty
// (small groups): here threads of one workgroup work on different slices.
const T: u32 = WX * WY;
const A_LOADS: u32 = ROWS;
const A_PIXELS: u32 = select(A_LOADS, 4u, PASS == WEIGHT);
const B_LOADS: u32 = 4u * QUADS;
const C_ROWS: u32 = ROWS;
const PASSES: bool = false;
const C_OWN: u32 = 1u;
const C_QUADS: u32 = QUADS;
const TILE_M: u32 = ROWS;
const TILE_N: u32 = 4u * QUADS;
fn tileOf(workgroup: u32, l: u32) -> u32 { return workgroup * T + l; }
fn aRow(i: u32, l: u32) -> u32 { return i; }
fn aQuad(l: u32) -> u32 { return 0u; }
fn aPixel(i: u32, l: u32) -> u32 { return i / (ROWS / 4u); }
fn aRowQuad(i: u32, l: u32) -> u32 { return i % (ROWS / 4u); }
fn bDepth(i: u32, l: u32) -> u32 { return i / QUADS; }
fn bQuad(i: u32, l: u32) -> u32 { return i % QUADS; }
fn bColumn(i: u32, l: u32) -> u32 { return i; }
fn bDepthQuad(i: u32, l: u32) -> u32 { return 0u; }
fn cRow(i: u32, l: u32) -> u32 { return i; }
fn ownRow(i: u32, l: u32) -> u32 { return 0u; }
fn passRow(own: u32, i: u32) -> u32 { return own; }
fn cQuad(j: u32, l: u32) -> u32 { return j; }
fn put(l: u32) {}
fn multiply(l: u32) {
  for (var i = 0u; i < ROWS; i++) {
    for (var j = 0u; j < QUADS; j++) {
      var sum = sums[i * QUADS + j];
      for (var k = 0u; k < 4u; k++) {
        var v: f32;
        if (PASS == WEIGHT) { v = aShare[k * (ROWS / 4u) + i / 4u][i % 4u]; } else { v = aShare[i][k]; }
        var right: vec4f;
        if (PASS == DATA) { right = vec4f(bShare[j * 4u][k], bShare[j * 4u + 1u][k], bShare[j * 4u + 2u][k], bShare[j * 4u + 3u][k]); }
        else { right = bShare[k * QUADS + j]; }
        sum = fma(vec4f(v), right, sum);
      }
      sums[i * QUADS + j] = sum;
    }
  }
}
