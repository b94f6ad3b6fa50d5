// shaders/lib/row_subgroup.wgsl: row.wgsl's functions for a workgroup that is one whole subgroup (needs `subgroups`).
fn rowSum(value: f32, lid: u32) -> f32 { return subgroupAdd(value); }
fn rowMax(value: f32, lid: u32) -> f32 { return subgroupMax(value); }
