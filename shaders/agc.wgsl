// shaders/agc.wgsl: adaptive gradient clipping of one flat arena: y = g * factor, the factor of each unit (lib/units.wgsl).
// `first` takes all blocks and finishes those that hold their units whole, `rest` those that share theirs.
const WG: u32 = 64u;
const OPTAX: bool = false; // agc_optax.py's comparison instead of optim.py's

struct Params { blocks: u32 } // of this dispatch
@group(0) @binding(0) var<storage, read> blocks: array<Block>;
@group(0) @binding(1) var<storage, read> g: array<vec4f>;
@group(0) @binding(2) var<storage, read> w: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> partial: array<vec4f>;
@group(0) @binding(5) var<uniform> p: Params;

fn clip(b: Block, lid: u32, f: vec4f) {
  let stride = WG / b.lanes * b.row;
  if (b.scalar == 1u) {
    for (var e = begin(b, lid); e < b.end; e += stride) { y[e / 4u][e % 4u] = g[e / 4u][e % 4u] * f.x; }
    return;
  }
  for (var i = begin(b, lid); i < b.end; i += stride) { y[i] = g[i] * f; }
  if (lid < b.tail) { y[b.end][lid] = g[b.end][lid] * f.x; }
}

@compute @workgroup_size(WG)
fn first(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let at = wid.y * nwg.x + wid.x;
  if (at >= p.blocks) { return; }
  let b = blocks[at];
  var f = vec4f(1.0);
  if (b.clipping >= 0.0) {
    let s = total(squares(b, lid), b.join, lid);
    if (b.parts > 1u) {
      keep(b, s, lid);
      return;
    }
    f = factor(b, s, OPTAX);
  }
  clip(b, lid, f);
}

@compute @workgroup_size(WG)
fn rest(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let at = wid.y * nwg.x + wid.x;
  if (at >= p.blocks) { return; }
  let b = blocks[at];
  clip(b, lid, factor(b, parts_of(b, lid), OPTAX));
}
