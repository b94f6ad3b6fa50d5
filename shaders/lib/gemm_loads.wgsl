// shaders/lib/gemm_loads.wgsl: how conv2d.wgsl reads quads: one vec4f where channels are a multiple of 4, else 4 scalars.

/// The 4 channels of a quad.
fn channelsOf(quad: u32) -> vec4u { return vec4u(quad * 4u) + vec4u(0u, 1u, 2u, 3u); }
/// A quad; channels past the slice's end are 0.
fn loadA(base: u32, quad: u32, channels: u32) -> vec4f {
  if (A4) { return vec4f(a[base + quad]); }
  let i = base + min(channelsOf(quad), vec4u(channels - 1u));
  let v = vec4f(vec4f(a[i.x]).x, vec4f(a[i.y]).x, vec4f(a[i.z]).x, vec4f(a[i.w]).x);
  return select(vec4f(), v, channelsOf(quad) < vec4u(channels));
}
fn loadB(base: u32, quad: u32, channels: u32) -> vec4f {
  if (Y4) { return vec4f(b[base + quad]); }
  let i = base + min(channelsOf(quad), vec4u(channels - 1u));
  let v = vec4f(vec4f(b[i.x]).x, vec4f(b[i.y]).x, vec4f(b[i.z]).x, vec4f(b[i.w]).x);
  return select(vec4f(), v, channelsOf(quad) < vec4u(channels));
}
/// 0 where there is none.
fn biasOf(slice: u32, quad: u32) -> vec4f {
  if (!BIAS) { return vec4f(); }
  let columns = select(p.co, p.ci, PASS == DATA);
  if (C4) { return vec4f(bias[slice * quadsOf(columns) + quad]); }
  let i = slice * columns + min(channelsOf(quad), vec4u(columns - 1u));
  return vec4f(vec4f(bias[i.x]).x, vec4f(bias[i.y]).x, vec4f(bias[i.z]).x, vec4f(bias[i.w]).x);
}
