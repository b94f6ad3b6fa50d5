// shaders/lib/columns_barrier.wgsl: sums over the SY threads of each of a workgroup's CX columns, in a fixed order. The
// kernel declares F, CX, SY, `struct Sums { a: F, b: F }` and `fn plus`. Call from uniform control flow.
var<workgroup> part_a: array<F, CX * SY>;
var<workgroup> part_b: array<F, CX * SY>;
/** Adds the sums of all threads of a column. */
fn column_total(own: Sums, lid: u32) -> Sums {
  part_a[lid] = own.a;
  part_b[lid] = own.b;
  workgroupBarrier();
  var s = Sums();
  for (var i = lid % CX; i < CX * SY; i += CX) { s = plus(s, part_a[i], part_b[i]); }
  workgroupBarrier();
  return s;
}

var<workgroup> found: u32;
/** Whether `own` is true in any thread; the same in all. Workgroups start with zeros, so once a kernel. */
fn any_thread(own: bool, lid: u32) -> bool {
  if (own) { found = 1u; }
  return workgroupUniformLoad(&found) == 1u;
}
