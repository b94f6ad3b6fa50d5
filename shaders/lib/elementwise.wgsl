// shaders/lib/elementwise.wgsl: the functions that map.wgsl and strided.wgsl apply to each element; OP picks one.
// Values travel as bits (U), so that u32 tensors and copies go the same way. p.s and p.t are numbers given in place of
// tensors, as bits. Rules at ties, zeros, infinities and NaN are JAX's. Needs width4 or width1, and exp.wgsl.

// One argument.
const IDENTITY: u32 = 0u;
const NEG: u32 = 1u;
const EXP: u32 = 2u;
const LOG: u32 = 3u;
const SQRT: u32 = 4u;
const RSQRT: u32 = 5u;
const ABS: u32 = 6u;
const SQUARE: u32 = 7u;
const CLIP: u32 = 8u; // to [p.s, p.t]
const TO_F32: u32 = 9u;
const TO_U32: u32 = 10u;
const FILL: u32 = 11u; // p.s, whatever the argument

// Two arguments.
const ADD: u32 = 32u;
const SUB: u32 = 33u;
const MUL: u32 = 34u;
const DIV: u32 = 35u;
const POW: u32 = 36u;
const MAXIMUM: u32 = 37u;
const MINIMUM: u32 = 38u;
const EQUAL: u32 = 39u;
const LESS: u32 = 40u;
const GREATER: u32 = 41u;
const EQUAL_U32: u32 = 42u;
const LESS_U32: u32 = 43u;
const GREATER_U32: u32 = 44u;
// Gradients of one-argument functions, from dy and x or y.
const SQRT_GRAD: u32 = 45u; // dy, y
const RSQRT_GRAD: u32 = 46u; // dy, y
const ABS_GRAD: u32 = 47u; // dy, x
const SQUARE_GRAD: u32 = 48u; // dy, x
const CLIP_GRAD: u32 = 49u; // dy, x

// Three arguments.
const WHERE: u32 = 64u; // c, a, b
const DIV_GRAD_B: u32 = 65u; // dy, a, b
const POW_GRAD_A: u32 = 66u; // dy, a, b
const POW_GRAD_B: u32 = 67u; // dy, a, b
const MAXIMUM_GRAD: u32 = 68u; // dy, a, b: the part of a; minimum's is the same with a and b swapped
const VARIANCE_GRAD: u32 = 69u; // dy, x, mean: dy * p.s * (x - mean)
const MATCH: u32 = 70u; // x, y, q: q where x == y, else q * 0

// Which arguments are p.s and p.t: none; the first of two, or the second of three (p.s); the last (p.s); the last two.
const NONE: u32 = 0u;
const INNER: u32 = 1u;
const LAST: u32 = 2u;
const BOTH: u32 = 3u;

fn f1(a: U) -> U {
  if (OP >= 64u) { return three(a, U(p.s), U(p.t)); }
  if (OP >= 32u && NUMBERS == INNER) { return two(U(p.s), a); }
  if (OP >= 32u) { return two(a, U(p.s)); }
  return one(a);
}
fn f2(a: U, b: U) -> U {
  if (OP >= 64u && NUMBERS == INNER) { return three(a, U(p.s), b); }
  if (OP >= 64u) { return three(a, b, U(p.s)); }
  return two(a, b);
}
fn f3(a: U, b: U, c: U) -> U { return three(a, b, c); }

fn one(bits: U) -> U {
  let x = bitcast<V>(bits);
  if (OP == NEG) { return bits ^ U(0x80000000u); }
  if (OP == EXP) { return orNan(bits, bits, bitcast<U>(exponential(x))); }
  if (OP == LOG) { return logarithm(x); }
  if (OP == SQRT) { return bitcast<U>(sqrt(x)); }
  if (OP == RSQRT) { return bitcast<U>(inverseSqrt(x)); }
  if (OP == ABS) { return bits & U(0x7fffffffu); }
  if (OP == SQUARE) { return bitcast<U>(x * x); }
  if (OP == CLIP) {
    let low = bitcast<V>(U(p.s));
    let high = bitcast<V>(U(p.t));
    let y = select(x, low, x < low);
    return bitcast<U>(select(y, high, y > high));
  }
  if (OP == TO_F32) { return bitcast<U>(V(bits)); }
  if (OP == TO_U32) { // the conversion's own greatest is the greatest f32 below 2^32
    let size = bits & U(MAGNITUDE);
    return select(select(U(x), U(), size > U(INFINITY)), U(0xffffffffu), x >= V(4294967296.0));
  }
  if (OP == FILL) { return U(p.s); }
  return bits;
}

fn two(left: U, right: U) -> U {
  if (OP == EQUAL_U32) { return select(U(), U(1u), left == right); }
  if (OP == LESS_U32) { return select(U(), U(1u), left < right); }
  if (OP == GREATER_U32) { return select(U(), U(1u), left > right); }
  let a = bitcast<V>(left);
  let b = bitcast<V>(right);
  if (OP == EQUAL) { return select(U(), U(1u), a == b); }
  if (OP == LESS) { return select(U(), U(1u), a < b); }
  if (OP == GREATER) { return select(U(), U(1u), a > b); }
  if (OP == MAXIMUM) { return orNan(left, right, bitcast<U>(select(b, a, a >= b))); }
  if (OP == MINIMUM) { return orNan(left, right, bitcast<U>(select(b, a, a <= b))); }
  if (OP == POW) { return power(a, b); }
  return bitcast<U>(arithmetic(a, b));
}
fn arithmetic(a: V, b: V) -> V {
  if (OP == ADD) { return a + b; }
  if (OP == SUB) { return a - b; }
  if (OP == MUL) { return a * b; }
  if (OP == DIV) { return a / b; }
  if (OP == SQRT_GRAD) { return 0.5 * a / b; }
  if (OP == RSQRT_GRAD) { return -0.5 * a * b * b * b; }
  if (OP == ABS_GRAD) { return a * bitcast<V>(orNan(bitcast<U>(b), bitcast<U>(b), bitcast<U>(sign(b)))); }
  if (OP == SQUARE_GRAD) { return 2.0 * a * b; }
  // CLIP_GRAD: half at a bound, as through minimum(maximum(x, low), high).
  let low = bitcast<V>(U(p.s));
  let high = bitcast<V>(U(p.t));
  return a * share(b, low) * share(high, b);
}
// The part of the gradient that a has in maximum(a, b).
fn share(a: V, b: V) -> V { return select(select(V(0.0), V(0.5), a == b), V(1.0), a > b); }

fn three(first: U, second: U, third: U) -> U {
  if (OP == WHERE) { return select(third, second, first != U()); }
  let x = bitcast<V>(first);
  let a = bitcast<V>(second);
  let b = bitcast<V>(third);
  if (OP == MATCH) { return bitcast<U>(select(V(0.0), V(1.0), x == a) * b); }
  if (OP == VARIANCE_GRAD) { return bitcast<U>(x * bitcast<V>(U(p.s)) * (a - b)); }
  if (OP == MAXIMUM_GRAD) { return bitcast<U>(x * share(a, b)); }
  if (OP == DIV_GRAD_B) { return bitcast<U>(-x * (a / b / b)); }
  if (OP == POW_GRAD_A) { return bitcast<U>(x * select(b * bitcast<V>(power(a, b - 1.0)), V(0.0), b == V(0.0))); }
  // POW_GRAD_B: the logarithm of 0 counts as 0, so that 0^b has the gradient 0.
  let log_a = bitcast<V>(logarithm(select(a, V(1.0), a == V(0.0))));
  return bitcast<U>(x * log_a * bitcast<V>(power(a, b)));
}

// A NaN is told by its bits, since a compiler may take comparisons to be free of NaN.
const MAGNITUDE: u32 = 0x7fffffffu;
const INFINITY: u32 = 0x7f800000u;
const NAN: u32 = 0x7fc00000u;
const SIGN: u32 = 0x80000000u;
const ONE: u32 = 0x3f800000u;
const NORMAL: u32 = 0x00800000u; // what is smaller counts as 0
fn orNan(a: U, b: U, y: U) -> U {
  let first = select(y, b, (b & U(MAGNITUDE)) > U(INFINITY));
  return select(first, a, (a & U(MAGNITUDE)) > U(INFINITY));
}

// exp with the multiple of log 2 taken out first: the built-in one may be off by |x| units in the last place.
fn exponential(x: V) -> V {
  let c = clamp(x, V(-104.0), V(90.0)); // 0 and infinity beyond
  let n = round(c * 1.442695041);
  return scale(expSmall((c - n * 0.693359375) + n * 2.12194440e-4), n);
}
// exp(r) for |r| <= log(2) / 2.
fn expSmall(r: V) -> V {
  let q = 0.5 + r * (0.16666542 + r * (0.041667204 + r * (0.0083666919 + r * 0.0013882489)));
  return 1.0 + (r + r * r * q);
}
// v * 2^n in two steps, each a normal number.
fn scale(v: V, n: V) -> V {
  let half = trunc(n * 0.5);
  return v * pow2(half) * pow2(n - half);
}
fn pow2(n: V) -> V { return bitcast<V>(U(n + 127.0) << U(23u)); }

fn logarithm(x: V) -> U {
  let bits = bitcast<U>(x);
  let size = bits & U(MAGNITUDE);
  let y = bitcast<U>(narrow(logNormal(vec4f(x))));
  let special = select(select(y, bits, size >= U(INFINITY)), U(NAN), bits > U(SIGN));
  return orNan(bits, bits, select(special, U(SIGN | INFINITY), size < U(NORMAL)));
}

// a^b = 2^(b e) 2^(b log2 m) where |a| = m 2^e: b in two halves, so that its products with e are exact.
fn power(a: V, b: V) -> U {
  let bits = bitcast<U>(a);
  let size = bits & U(MAGNITUDE);
  let mantissa = bitcast<V>((size & U(0x007fffffu)) | U(0x3f800000u)); // in [1, 2)
  let high = mantissa > V(1.41421356);
  let e = V(size >> U(23u)) - select(V(127.0), V(126.0), high);
  let log_m = 1.44269504 * narrow(logNormal(vec4f(select(mantissa, 0.5 * mantissa, high))));
  let b1 = bitcast<V>(bitcast<U>(b) & U(0xfffff000u));
  let whole = b1 * e;
  let rest = (b - b1) * e + b * log_m;
  let n = clamp(round(whole + rest), V(-250.0), V(250.0));
  let fraction = clamp((whole - n) + rest, V(-0.5), V(0.5)); // beyond only where n is at its bound
  let y = bitcast<U>(scale(expSmall(0.693147181 * fraction), n));

  // Zeros and infinities: those of |a| (denormal counts as 0), or of b.
  let b_size = bitcast<U>(b) & U(MAGNITUDE);
  let up = (size > U(ONE)) == (b > V(0.0));
  let limit = select(select(U(), U(INFINITY), up), U(ONE), size == U(ONE));
  let extreme = (size < U(NORMAL)) | (size >= U(INFINITY)) | (b_size >= U(INFINITY));
  let positive = select(y, limit, extreme);
  // The sign of a, if b is an odd integer; no real value, if it is no integer.
  let integer = b == trunc(b);
  let odd = integer & (b_size < U(0x4b800000u)) & (fract(abs(b) * 0.5) != V(0.0));
  let signed = positive | select(U(), bits & U(SIGN), odd);
  let real = select(signed, U(NAN), (a < V(0.0)) & !integer & (size < U(INFINITY)));
  return select(orNan(bits, bitcast<U>(b), real), U(ONE), (b == V(0.0)) | (a == V(1.0)));
}
