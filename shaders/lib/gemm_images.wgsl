// shaders/lib/gemm_images.wgsl: how conv2d.wgsl reads quads of a and b from images: rows of 1024 quads (src/gpu/images.ts).
// Channels are multiples of 4. Behind a tensor's end lies what was drawn before; conv2d.wgsl drops what it reads there.
@group(0) @binding(0) var aImage: texture_storage_2d<rgba32float, read>;
@group(0) @binding(1) var bImage: texture_storage_2d<rgba32float, read>;

fn loadA(base: u32, quad: u32, channels: u32) -> vec4f {
  let i = base + quad;
  return textureLoad(aImage, vec2u(i % 1024u, i / 1024u));
}
fn loadB(base: u32, quad: u32, channels: u32) -> vec4f {
  let i = base + quad;
  return textureLoad(bImage, vec2u(i % 1024u, i / 1024u));
}
