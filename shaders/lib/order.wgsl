// shaders/lib/order.wgsl: floats as integers of the same order. All NaN are equal and greatest, and -0 equals 0.
fn orderOf(bits: u32) -> u32 {
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) { return 0xffffffffu; }
  if (size == 0u) { return 0x80000000u; }
  return select(bits | 0x80000000u, ~bits, bits != size);
}
