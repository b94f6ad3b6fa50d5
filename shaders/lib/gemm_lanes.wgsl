// shaders/lib/gemm_lanes.wgsl: the core of conv2d.wgsl for software adapters: no shared memory, no barriers.
// A subgroup of LANES lanes (the adapter's only size: 4 or 8) makes ROWS * LANES rows x 4 * LANES columns of C; WX
// subgroups lie side by side in a workgroup, WY below each other. Columns belong to lanes, one quad each. Rows are
// passed round: lane r loads row r's quad of k (WEIGHT: 4 rows of one pixel), and every lane shuffles it out of there.
// That is ROWS + 4 loads for ROWS * LANES * 16 multiply-adds. Where C has fewer rows than lanes, rows from HIGH on are
// nobody's: a vector times a matrix is bound by the loads of B alone.
const T: u32 = LANES * WX * WY;
const Q: u32 = LANES / 4u;
const A_LOADS: u32 = ROWS;
const A_PIXELS: u32 = select(A_LOADS, 1u, PASS == WEIGHT);
const B_LOADS: u32 = 4u;
const C_ROWS: u32 = HIGH * ROWS;
const PASSES: bool = PASS == DATA || (PASS == WEIGHT && ROWS > 4u);     // with few rows it is slower, measured
const C_OWN: u32 = ROWS;
const C_QUADS: u32 = 1u;
const TILE_M: u32 = LANES * ROWS * WY;
const TILE_N: u32 = 4u * LANES * WX;
fn tileOf(workgroup: u32, l: u32) -> u32 { return workgroup; }
fn below(l: u32) -> u32 { return l / (LANES * WX) * ROWS; }             // fragments of rows above this subgroup's
fn aRow(i: u32, l: u32) -> u32 { return (below(l) + i) * LANES + l % LANES; }
fn aQuad(l: u32) -> u32 { return 0u; }
fn aPixel(i: u32, l: u32) -> u32 { return l % LANES / Q; }
fn aRowQuad(i: u32, l: u32) -> u32 { return (below(l) + i) * Q + l % Q; }
fn bDepth(i: u32, l: u32) -> u32 { return i; }
fn bQuad(i: u32, l: u32) -> u32 { return l % (LANES * WX); }
fn bColumn(i: u32, l: u32) -> u32 { return l % (LANES * WX) * 4u + i; }
fn bDepthQuad(i: u32, l: u32) -> u32 { return 0u; }
fn cRow(i: u32, l: u32) -> u32 {
  return below(l) * LANES + select(i / HIGH * LANES + i % HIGH, i, HIGH == LANES);
}
fn ownRow(i: u32, l: u32) -> u32 { return aRow(i, l); }
fn passRow(own: u32, i: u32) -> u32 { return subgroupShuffle(own, i % HIGH); }
fn cQuad(j: u32, l: u32) -> u32 { return l % (LANES * WX); }
fn put(l: u32) {}

fn left(i: u32, r: u32, k: u32) -> vec4f {
  if (PASS == WEIGHT) { return vec4f(subgroupShuffle(aShare[i][r % 4u], k * Q + r / 4u)); }
  return vec4f(subgroupShuffle(aShare[i][k], r));
}
// Rows outside, k inside: an accumulator is touched once for 4 k. Their products are added up first: rounding errors,
// which the layers behind it multiply, grow with a quarter of k. WEIGHT, behind which is no layer, is faster without.
fn addRow(i: u32, r: u32, columns: array<vec4f, 4>) {
  let sum = sums[i * HIGH + r];
  var part = left(i, r, 0u) * columns[0];
  if (PASS == WEIGHT) { part = fma(left(i, r, 0u), columns[0], sum); }
  for (var k = 1u; k < 4u; k++) { part = fma(left(i, r, k), columns[k], part); }
  if (PASS != WEIGHT) { part += sum; }
  sums[i * HIGH + r] = part;
}
fn addFragment(i: u32, columns: array<vec4f, 4>) {
  for (var r = 0u; r < HIGH; r += 4u) {
    addRow(i, r, columns);
    if (HIGH > 1u) { addRow(i, r + 1u, columns); }
    if (HIGH > 2u) {
      addRow(i, r + 2u, columns);
      addRow(i, r + 3u, columns);
    }
  }
}
// Written out, not a loop: lavapipe's compiler gives up on unrolling this nest, and sums would stay in memory.
fn multiply(l: u32) {
  var columns = bShare;
  if (PASS == DATA) {
    for (var k = 0u; k < 4u; k++) { columns[k] = vec4f(bShare[0][k], bShare[1][k], bShare[2][k], bShare[3][k]); }
  }
  addFragment(0u, columns);
  if (ROWS > 1u) { addFragment(1u, columns); }
  if (ROWS > 2u) { addFragment(2u, columns); }
  if (ROWS > 3u) { addFragment(3u, columns); }
  if (ROWS > 4u) { addFragment(4u, columns); }
  if (ROWS > 5u) { addFragment(5u, columns); }
  if (ROWS > 6u) { addFragment(6u, columns); }
  if (ROWS > 7u) { addFragment(7u, columns); }
}
