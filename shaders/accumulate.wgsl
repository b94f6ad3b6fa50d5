// shaders/accumulate.wgsl: acc[n] += t[n], four elements a thread and turn. Used by the tape alone.
struct Params { n: u32 }
override WG: u32 = 64u;
@group(0) @binding(0) var<storage, read_write> acc: array<vec4f>;
@group(0) @binding(1) var<storage, read> t: array<vec4f>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn accumulate(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let whole = p.n / 4u;
  for (var i = id.x; i < whole; i += groups.x * WG) { acc[i] += t[i]; }
  if (id.x == 0u) { // up to three elements behind the last whole vector
    let rest = p.n % 4u;
    if (rest > 0u) { acc[whole].x += t[whole].x; }
    if (rest > 1u) { acc[whole].y += t[whole].y; }
    if (rest > 2u) { acc[whole].z += t[whole].z; }
  }
}
