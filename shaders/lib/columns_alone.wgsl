// shaders/lib/columns_alone.wgsl: columns_barrier.wgsl's functions where a column has one thread. No barrier, not even one
// that never runs: with it standardization took 1.2 to 1.4 times as long on lavapipe.
fn column_total(own: Sums, lid: u32) -> Sums { return own; }
fn any_thread(own: bool, lid: u32) -> bool { return own; }
