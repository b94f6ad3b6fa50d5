// shaders/lib/threefry.wgsl: JAX's random bits: threefry2x32, 20 rounds, in the partitionable form
// (`jax_threefry_partitionable`). Not a stream: element i depends on the key and on i alone.

// Four rounds with one of the two alternating sets of rotations (left by r is right by 32 - r).
fn threefryRounds(x: vec2u, left: vec4u) -> vec2u {
  let right = 32u - left;
  var a = x.x;
  var b = x.y;
  a += b;
  b = ((b << left.x) | (b >> right.x)) ^ a;
  a += b;
  b = ((b << left.y) | (b >> right.y)) ^ a;
  a += b;
  b = ((b << left.z) | (b >> right.z)) ^ a;
  a += b;
  b = ((b << left.w) | (b >> right.w)) ^ a;
  return vec2u(a, b);
}

// The block function; a counter is (high word, low word). With (0, i) it gives key i of a split.
fn threefry2x32(key: vec2u, counter: vec2u) -> vec2u {
  let k2 = key.x ^ key.y ^ 0x1BD11BDAu;
  let even = vec4u(13u, 15u, 26u, 6u);
  let odd = vec4u(17u, 29u, 16u, 24u);
  var x = threefryRounds(counter + key, even);
  x = threefryRounds(x + vec2u(key.y, k2 + 1u), odd);
  x = threefryRounds(x + vec2u(k2, key.x + 2u), even);
  x = threefryRounds(x + vec2u(key.x, key.y + 3u), odd);
  x = threefryRounds(x + vec2u(key.y, k2 + 4u), even);
  return x + vec2u(k2, key.x + 5u);
}

// Element i of `jax.random.bits(key, shape)`, i the index in C order (below 2^32).
fn randomBits(key: vec2u, i: u32) -> u32 {
  let x = threefry2x32(key, vec2u(0u, i));
  return x.x ^ x.y;
}

// JAX's uniform in [0, 1) from 32 random bits: the upper 23 are the mantissa of a number in [1, 2).
fn uniformF32(bits: u32) -> f32 {
  return bitcast<f32>((bits >> 9u) | 0x3F800000u) - 1.0;
}
