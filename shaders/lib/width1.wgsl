// shaders/lib/width1.wgsl: V, what a kernel reads at once, is one float. See width4.wgsl.
const WIDTH: u32 = 1u;
alias V = f32;
alias U = u32;
const OFFSETS: U = 0u;
fn part(v: V, i: u32) -> f32 { return v; }
fn narrow(v: vec4f) -> V { return v.x; }
