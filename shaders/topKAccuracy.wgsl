// shaders/topKAccuracy.wgsl: 1 where a row's label is among its k greatest logits, else 0. A workgroup takes a row (and
// every gridth after it) and counts the logits that come before the label's.
override WG: u32 = 64u;

struct Params { rows: u32, classes: u32, k: u32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

var<workgroup> counts: array<u32, WG>;

@compute @workgroup_size(WG)
fn forward(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  for (var row = wid.x; row < p.rows; row += nwg.x) {
    let label = labels[row];
    let base = row * p.classes;
    let own = logits[base + min(label, p.classes - 1u)];
    var ahead = 0u;
    for (var i = lid; i < p.classes; i += WG) {
      let other = logits[base + i];
      if (other > own || (other == own && i > label)) { ahead++; }
    }
    counts[lid] = ahead;
    workgroupBarrier();
    if (lid == 0u) {
      for (var i = 1u; i < WG; i++) { ahead += counts[i]; }
      let nan = (bitcast<u32>(own) & 0x7fffffffu) > 0x7f800000u;
      y[row] = select(0.0, 1.0, ahead < p.k && label < p.classes && !nan);
    }
    workgroupBarrier();
  }
}
