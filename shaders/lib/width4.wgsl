// shaders/lib/width4.wgsl: V, what a kernel reads at once, is four floats. Its twin width1.wgsl makes the same text scalar.
const WIDTH: u32 = 4u;
alias V = vec4f;
alias U = vec4u;
const OFFSETS: U = U(0u, 1u, 2u, 3u);
fn part(v: V, i: u32) -> f32 { return v[i]; }
fn narrow(v: vec4f) -> V { return v; }
