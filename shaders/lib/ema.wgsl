// shaders/lib/ema.wgsl: the weights of an exponential moving average with TF1's warm-up.

/** Weights of the average and of the new value, `decay` and `1 - decay`, at the 0-based step `itr`. */
fn warm(decay: vec2f, itr: f32) -> vec2f {
  let early = vec2f(1.0 + itr, 9.0) / (10.0 + itr); // the second is 1 - the first, without its rounding
  return select(decay, early, early.x < decay.x);
}
