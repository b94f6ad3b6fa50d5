// shaders/lib/row.wgsl: sums and maxima over the WG threads of a workgroup, in a fixed order; every
// thread gets the result. The kernel declares `const WG: u32` as its workgroup size. Call from
// uniform control flow. Each thread adds all parts up: a tree has more barriers, which software
// adapters pay for in run time and even more when compiling.
var<workgroup> rowPart: array<f32, WG>;

fn rowSum(value: f32, lid: u32) -> f32 {
  workgroupBarrier(); // whoever still reads the last parts
  rowPart[lid] = value;
  workgroupBarrier();
  var s = 0.0;
  for (var i = 0u; i < WG; i++) { s += rowPart[i]; }
  return s;
}
// NaN may be passed over: what is computed with the maximum brings it back.
fn rowMax(value: f32, lid: u32) -> f32 {
  workgroupBarrier();
  rowPart[lid] = value;
  workgroupBarrier();
  var m = rowPart[0];
  for (var i = 1u; i < WG; i++) { m = max(m, rowPart[i]); }
  return m;
}
