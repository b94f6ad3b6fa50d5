// shaders/lib/span.wgsl: how a loop over n items is shared out: a workgroup takes a block of neighbours, WG of them a turn.
// Software adapters walk such a block one subgroup after the other: with a stride over the whole tensor instead, each
// turn would touch pages of its own. The kernel declares `const WG: u32` as its workgroup size.
struct Span {
  first: u32, // this thread's items: first, first + WG, ...
  end: u32,
}
fn spanOf(n: u32, wid: vec3u, nwg: vec3u, lid: u32) -> Span {
  let block = (n + nwg.x * WG - 1u) / (nwg.x * WG) * WG;
  let first = wid.x * block;
  return Span(first + lid, min(first + block, n));
}
