// shaders/lib/columns_alone.wgsl: columns_barrier.wgsl's functions where a column has one thread. No barrier, not even one
// that never runs: lavapipe would keep all that outlives it in memory, and loops would take 1.4 times as long.
fn column_total(own: Sums, lid: u32) -> Sums { return own; }
fn any_thread(own: bool, lid: u32) -> bool { return own; }
