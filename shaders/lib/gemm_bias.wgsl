// shaders/lib/gemm_bias.wgsl: the bias of conv2d.wgsl, and the channels of a quad.

/// The 4 channels of a quad.
fn channelsOf(quad: u32) -> vec4u { return vec4u(quad * 4u) + vec4u(0u, 1u, 2u, 3u); }
/// 0 where there is none.
fn biasOf(slice: u32, quad: u32) -> vec4f {
  if (!BIAS) { return vec4f(); }
  let columns = select(p.co, p.ci, PASS == DATA);
  if (C4) { return vec4f(bias[slice * quadsOf(columns) + quad]); }
  let i = slice * columns + min(channelsOf(quad), vec4u(columns - 1u));
  return vec4f(vec4f(bias[i.x]).x, vec4f(bias[i.y]).x, vec4f(bias[i.z]).x, vec4f(bias[i.w]).x);
}
