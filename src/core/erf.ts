// The error function, its inverse and the logarithms behind it, in f32, as XLA has them on CPU: same
// polynomials, same roundings, so that normals have JAX's bits. Not for general use.
const f32 = Math.fround;

// Giles, "Approximating the erfinv function": polynomials in w = -log(1 - x^2), XLA's erf_inv.
const CENTRAL = [
  2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 2.1858087e-4, -1.25372503e-3,
  -4.17768164e-3, 0.246640727, 1.50140941,
].map(f32);
const TAIL = [
  -2.00214257e-4, 1.00950558e-4, 1.34934322e-3, -3.67342844e-3, 5.73950773e-3, -7.6224613e-3,
  9.43887047e-3, 1.00167406, 2.83297682,
].map(f32);
// Cephes: log1p(x) = x - x^2/2 + x^3 * P(x) / Q(x) where |x| < sqrt(2) - 1.
const LOG1P_P = [
  4.52700008624452e-5, 0.49854102823193375, 6.578732594206104, 29.911919328553072,
  60.94966798098779, 57.11296359058554, 20.039553499201283,
].map(f32);
const LOG1P_Q = [
  1, 15.062909083469192, 83.04756596796722, 221.76239823732857, 309.09872225312057,
  216.42788614495947, 60.11866049760384,
].map(f32);
// Cephes' logf, on [sqrt(1/2), sqrt(2)).
const LOG = [
  7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1,
  -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
].map(f32);
const LN2_LOW = f32(-2.1219444e-4);
const LN2_HIGH = 0.693359375;

// In doubles a product of two f32 is exact: rounded after the addition, it is a fused multiply-add.
function horner(c: readonly number[], x: number): number {
  let p = c[0]!;
  for (let i = 1; i < c.length; i++) p = f32(p * x + c[i]!);
  return p;
}

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** XLA's f32 logarithm on CPU, for normal numbers above 0. */
function log(x: number): number {
  float[0] = x;
  let e = (word[0]! >>> 23) - 126;
  word[0] = (word[0]! & 0x007fffff) | 0x3f000000;
  let m = float[0]!;
  if (m < f32(Math.SQRT1_2)) {
    e -= 1;
    m = f32(m - 1 + m);
  } else m = f32(m - 1);
  const m2 = f32(m * m);
  const m3 = f32(m2 * m);
  const p = LOG;
  const high = f32(f32(p[0]! * m + p[1]!) * m + p[2]!);
  const middle = f32(f32(p[3]! * m + p[4]!) * m + p[5]!);
  const low = f32(f32(p[6]! * m + p[7]!) * m + p[8]!);
  const y = f32(f32(f32(high * m3 + middle) * m3 + low) * m3 + f32(e * LN2_LOW));
  return f32(f32(f32(m - 0.5 * m2) + y) + e * LN2_HIGH);
}

/** XLA's f32 log1p on CPU, for x in (-1, 0]. */
function log1p(x: number): number {
  if (x <= f32(1 - Math.SQRT2)) return log(f32(1 + x));
  const x2 = f32(x * x);
  const tail = f32(f32(x * x2) * f32(horner(LOG1P_P, x) / horner(LOG1P_Q, x)));
  return f32(x + f32(-0.5 * x2 + tail));
}

/** XLA's f32 inverse of the error function on CPU. */
export function erfInv(x: number): number {
  if (Math.abs(x) === 1) return x * Number.POSITIVE_INFINITY;
  const w = -log1p(-f32(x * x));
  const p = w < 5 ? horner(CENTRAL, f32(w - 2.5)) : horner(TAIL, f32(f32(Math.sqrt(w)) - 3));
  return f32(p * x);
}

/** The error function in doubles: 2/sqrt(pi) exp(-x^2) times a series of positive terms. */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; sum + term !== sum; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/** The next f32 above (direction 1) or below (-1) a finite f32. */
export function neighbour(x: number, direction: 1 | -1): number {
  if (x === 0) return direction * 2 ** -149;
  float[0] = x;
  word[0] = word[0]! + (x > 0 ? direction : -direction);
  return float[0]!;
}
