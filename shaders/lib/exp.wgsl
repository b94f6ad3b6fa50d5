// shaders/lib/exp.wgsl: exp, expm1, log1p and log to about one ulp on any adapter, and the sigmoid.
// Vectors of four; for one number take `.x` (compilers work on components and drop the others). The
// built-in exp may be off by 3 + 2|x| ulp (measured on lavapipe: 10 at x = -10, 64 at -87), log by
// far more just below 1. Where small x weighs most (sigmoid, gelu) that does not show and the
// built-in is faster: used there.

// The nearest integer of |x| < 2^21 as `bits`, whose last nine are the integer's own, and as a float. Rounding and
// conversions are slow on software adapters; the addition to the bits keeps a compiler from cancelling (x + m) - m.
struct Nearest { bits: vec4i, value: vec4f }
fn nearest(x: vec4f) -> Nearest {
  let bits = bitcast<vec4i>(x + 12582912.0) + 0x200000;
  return Nearest(bits, bitcast<vec4f>(bits) - 14680064.0);
}

// exp(x) = scale + scale * p for x <= 0; below -87.7 the scale is 0. NaN is lost.
struct ExpParts { scale: vec4f, p: vec4f }
fn expParts(x: vec4f) -> ExpParts {
  let c = max(x, vec4f(-88.0));
  let n = nearest(c * 1.44269504);
  let r = (c - n.value * 0.693359375) + n.value * 2.12194440e-4; // the first product is exact
  let q = 0.5 + r * (0.16666542 + r * (0.041667204 + r * (0.0083666919 + r * 0.0013882489)));
  return ExpParts(bitcast<vec4f>((n.bits + 127) << vec4u(23u)), r + r * r * q);
}
fn expNegative(x: vec4f) -> vec4f {
  let e = expParts(x);
  return select(e.scale + e.scale * e.p, x, isNan(x));
}
// exp(x) - 1 for x <= 0.
fn expm1Negative(x: vec4f) -> vec4f {
  let e = expParts(x);
  return e.scale * e.p + (e.scale - 1.0);
}

// log(1 + e) for 0 <= e <= 1, as 2 atanh(e / (2 + e)).
fn log1pUnit(e: vec4f) -> vec4f {
  let s = e / (2.0 + e);
  let q = s * s;
  return 2.0 * s + s * q * (0.66666412 + q * (0.40021667 + q * (0.27999267 + q * 0.28025565)));
}

// log(x) for normal, finite x > 0, and NaN.
fn logNormal(x: vec4f) -> vec4f {
  let i = bitcast<vec4i>(x) - 0x3f3504f3; // splits x into 2^k and a mantissa in [0.707, 1.414)
  let k = vec4f(i >> vec4u(23u));
  let m = bitcast<vec4f>((i & vec4i(0x7fffff)) + 0x3f3504f3);
  let s = (m - 1.0) / (m + 1.0);
  let q = s * s;
  let low = s * q * (0.66666776 + q * (0.39977467 + q * 0.29874051)) - k * 2.12194440e-4;
  return select(k * 0.693359375 + (2.0 * s + low), x, isNan(x));
}

// 1 / (1 + exp(-x)); the exponent is never positive, so nothing overflows.
fn sigmoid(x: vec4f) -> vec4f {
  let e = exp(-abs(x));
  return select(e, vec4f(1.0), x >= vec4f()) / (1.0 + e);
}
// Its derivative s (1 - s), without cancellation.
fn sigmoidSlope(x: vec4f) -> vec4f {
  let e = exp(-abs(x));
  let r = 1.0 / (1.0 + e);
  return e * r * r;
}
// log(1 + exp(x)); the first term carries NaN.
fn softplus(x: vec4f) -> vec4f {
  return select(x, vec4f(), x <= vec4f()) + log1pUnit(exp(-abs(x)));
}

// Compilers may assume that there is no NaN; the bits tell.
fn isNan(x: vec4f) -> vec4<bool> {
  return (bitcast<vec4u>(x) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u);
}
