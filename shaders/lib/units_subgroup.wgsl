// shaders/lib/units_subgroup.wgsl: sums of lib/units.wgsl where a workgroup is one whole subgroup (needs `subgroups`). A CPU
// keeps whatever outlives a barrier in memory, so one barrier slows all loops around it by a third.

/** Adds the sums of all threads that share a unit, in the order of the threads. */
fn total(own: Sums, join: u32, lid: u32) -> Sums {
  if (join == WG) { return own; }
  var s = Sums();
  for (var i = 0u; i < WG; i += join) {
    s.w += subgroupShuffle(own.w, i + lid % join);
    s.g += subgroupShuffle(own.g, i + lid % join);
  }
  return s;
}
