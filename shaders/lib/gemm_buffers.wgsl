// shaders/lib/gemm_buffers.wgsl: how conv2d.wgsl reads quads of a and b: one vec4f where channels are a multiple of 4, else
// 4 scalars.

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
