// shaders/lib/units_barrier.wgsl: sums of lib/units.wgsl over a workgroup, through its memory.
var<workgroup> shared_w: array<vec4f, WG>;
var<workgroup> shared_g: array<vec4f, WG>;

/** Adds the sums of all threads that share a unit, in the order of the threads. */
fn total(own: Sums, join: u32, lid: u32) -> Sums {
  shared_w[lid] = own.w;
  shared_g[lid] = own.g;
  workgroupBarrier();
  var s = Sums();
  for (var i = lid % join; i < WG; i += join) {
    s.w += shared_w[i];
    s.g += shared_g[i];
  }
  return s;
}
