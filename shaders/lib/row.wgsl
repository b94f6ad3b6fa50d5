// shaders/lib/row.wgsl: sums and maxima over the WG threads of a workgroup, in a fixed order; every thread gets the result.
// The kernel declares `const WG: u32`, a power of two, as its workgroup size. Call from uniform control flow.
var<workgroup> rowPart: array<f32, WG>;

fn rowSum(value: f32, lid: u32) -> f32 {
  workgroupBarrier(); // whoever still reads the last result
  rowPart[lid] = value;
  for (var half = WG / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lid < half) { rowPart[lid] += rowPart[lid + half]; }
  }
  workgroupBarrier();
  return rowPart[0];
}
// NaN may be passed over: what is computed with the maximum brings it back.
fn rowMax(value: f32, lid: u32) -> f32 {
  workgroupBarrier();
  rowPart[lid] = value;
  for (var half = WG / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lid < half) { rowPart[lid] = max(rowPart[lid], rowPart[lid + half]); }
  }
  workgroupBarrier();
  return rowPart[0];
}
