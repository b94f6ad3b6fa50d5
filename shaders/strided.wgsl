// shaders/strided.wgsl: y = f(a, b, c) over RANK dimensions, of which each tensor has its own strides and first element:
// broadcasts (stride 0), transposes, slices, flips (strides modulo 2^32), and parts of y. The innermost dimension is d0.
// An element is four neighbours along it (lib/width4), or one (lib/width1). f is in lib/elementwise.wgsl.
const WG: u32 = 64u;
const RANK: u32 = 2u;
const OP: u32 = IDENTITY;
const NUMBERS: u32 = NONE;
// u32 where a tensor is constant along d0: one value for the whole element.
alias A = U;
alias B = U;
alias C = U;
// Whether a tensor is walked in its own order, from its first element.
const A_DENSE: bool = false;
const B_DENSE: bool = false;
const C_DENSE: bool = false;
const Y_DENSE: bool = false;

struct Params {
  n: u32, // elements
  s: u32,
  t: u32,
  a: u32,
  b: u32,
  c: u32,
  y: u32,
  d0: u32, d1: u32, d2: u32, d3: u32, d4: u32, d5: u32, d6: u32, d7: u32,
  a0: u32, a1: u32, a2: u32, a3: u32, a4: u32, a5: u32, a6: u32, a7: u32,
  b0: u32, b1: u32, b2: u32, b3: u32, b4: u32, b5: u32, b6: u32, b7: u32,
  c0: u32, c1: u32, c2: u32, c3: u32, c4: u32, c5: u32, c6: u32, c7: u32,
  y0: u32, y1: u32, y2: u32, y3: u32, y4: u32, y5: u32, y6: u32, y7: u32,
}
@group(0) @binding(0) var<storage, read> a: array<A>;
@group(0) @binding(1) var<storage, read> b: array<B>;
@group(0) @binding(2) var<storage, read> c: array<C>;
@group(0) @binding(3) var<storage, read_write> y: array<U>;
@group(0) @binding(4) var<uniform> p: Params;

alias Place = array<u32, RANK>;
alias Sizes = array<u32, 8>;
fn dims() -> Sizes { return array<u32, 8>(p.d0, p.d1, p.d2, p.d3, p.d4, p.d5, p.d6, p.d7); }
fn aStrides() -> Sizes { return array<u32, 8>(p.a0, p.a1, p.a2, p.a3, p.a4, p.a5, p.a6, p.a7); }
fn bStrides() -> Sizes { return array<u32, 8>(p.b0, p.b1, p.b2, p.b3, p.b4, p.b5, p.b6, p.b7); }
fn cStrides() -> Sizes { return array<u32, 8>(p.c0, p.c1, p.c2, p.c3, p.c4, p.c5, p.c6, p.c7); }
fn yStrides() -> Sizes { return array<u32, 8>(p.y0, p.y1, p.y2, p.y3, p.y4, p.y5, p.y6, p.y7); }

fn unravel(index: u32, d: Sizes) -> Place {
  var place: Place;
  var rest = index;
  for (var k = 0u; k + 1u < RANK; k++) {
    place[k] = rest % d[k];
    rest /= d[k];
  }
  place[RANK - 1u] = rest;
  return place;
}
// Further by `hop`, with carries: no division in the loop.
fn moved(old: Place, hop: Place, d: Sizes) -> Place {
  var place: Place;
  var carry = 0u;
  for (var k = 0u; k + 1u < RANK; k++) {
    let sum = old[k] + hop[k] + carry;
    let over = sum >= d[k];
    place[k] = select(sum, sum - d[k], over);
    carry = u32(over);
  }
  place[RANK - 1u] = old[RANK - 1u] + hop[RANK - 1u] + carry;
  return place;
}
fn at(i: u32, place: Place, dense: bool, first: u32, strides: Sizes) -> u32 {
  if (dense) { return i; }
  var index = first;
  for (var k = 0u; k < RANK; k++) { index += place[k] * strides[k]; }
  return index;
}

// Params are read before the loop: compilers leave such loads where they stand.
@compute @workgroup_size(WG)
fn map1(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  let n = p.n;
  let d = dims();
  let a_first = p.a;
  let a_strides = aStrides();
  let y_first = p.y;
  let y_strides = yStrides();
  let threads = nwg.x * WG;
  let hop = unravel(threads, d);
  var place = unravel(id.x, d);
  for (var i = id.x; i < n; i += threads) {
    let va = U(a[at(i, place, A_DENSE, a_first, a_strides)]);
    y[at(i, place, Y_DENSE, y_first, y_strides)] = f1(va);
    place = moved(place, hop, d);
  }
}

@compute @workgroup_size(WG)
fn map2(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  let n = p.n;
  let d = dims();
  let a_first = p.a;
  let a_strides = aStrides();
  let b_first = p.b;
  let b_strides = bStrides();
  let y_first = p.y;
  let y_strides = yStrides();
  let threads = nwg.x * WG;
  let hop = unravel(threads, d);
  var place = unravel(id.x, d);
  for (var i = id.x; i < n; i += threads) {
    let va = U(a[at(i, place, A_DENSE, a_first, a_strides)]);
    let vb = U(b[at(i, place, B_DENSE, b_first, b_strides)]);
    y[at(i, place, Y_DENSE, y_first, y_strides)] = f2(va, vb);
    place = moved(place, hop, d);
  }
}

@compute @workgroup_size(WG)
fn map3(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  let n = p.n;
  let d = dims();
  let a_first = p.a;
  let a_strides = aStrides();
  let b_first = p.b;
  let b_strides = bStrides();
  let c_first = p.c;
  let c_strides = cStrides();
  let y_first = p.y;
  let y_strides = yStrides();
  let threads = nwg.x * WG;
  let hop = unravel(threads, d);
  var place = unravel(id.x, d);
  for (var i = id.x; i < n; i += threads) {
    let va = U(a[at(i, place, A_DENSE, a_first, a_strides)]);
    let vb = U(b[at(i, place, B_DENSE, b_first, b_strides)]);
    let vc = U(c[at(i, place, C_DENSE, c_first, c_strides)]);
    y[at(i, place, Y_DENSE, y_first, y_strides)] = f3(va, vb, vc);
    place = moved(place, hop, d);
  }
}
