// JAX's random numbers on the host and in WGSL, held against values that jax.random gave
// (threefry2x32, jax_threefry_partitionable). Long draws are compared by the hash of their bytes.
import threefry from "../../shaders/lib/threefry.wgsl";
import { defineKernel, random, ShapeError } from "../../src/index.ts";
import { assert, type Case, equal, equalBits, near, throws } from "../harness.ts";
import { hash } from "../nets.ts";

const words = (...keys: readonly random.Key[]) => keys.flatMap(({ hi, lo }) => [hi, lo]);
const bools = (data: ArrayLike<number>) => Array.from(data).join("");

/** What jax.random gives for two keys. */
const jax = [
  {
    seed: 0,
    split: [1797259609, 2579123966, 928981903, 3453687069],
    lastOf5: [2285895361, 433833334],
    fold: { 7: [2716826189, 292468403], 123456789: [1084760314, 1583676033] },
    bits: [4070199207, 4202968722, 1427181096, 2012915765, 2447653815],
    bits1000: 0x6699f6f3,
    uniform1000: 0xcf094cdc,
    normal1000: 0x93f42d9b,
    normal7x3x2: 0xcebb7b04,
    truncated64: 0xe384852f,
    uniformBetween: [
      2.738335132598877, 2.892899513244629, -0.3385425806045532, 0.34334230422973633,
      0.8494435548782349,
    ],
    normal: [1.622642159461975, 2.0252647399902344, -0.4335944354534149],
    bernoulli: "0011111111011100011110101100111111110111111011110011111010111110",
    digits: "9023172333640995802136257585889497347898672314388367658699267959",
    integers: 0xe92c510,
    permutation: [0, 1, 8, 5, 6, 4, 3, 2, 7, 9],
  },
  {
    seed: 42,
    split: [1832780943, 270669613, 64467757, 2916123636],
    lastOf5: [2954079971, 3276725750],
    fold: { 7: [2547012911, 1371500959], 123456789: [801338215, 1032655946] },
    bits: [2098992034, 2919706841, 2646866425, 2409546199, 1935504149],
    bits1000: 0x321adbf5,
    uniform1000: 0xd29e9027,
    normal1000: 0xd71a7c83,
    normal7x3x2: 0x37478f07,
    truncated64: 0x4698a754,
    uniformBetween: [
      0.4435478448867798, 1.3989858627319336, 1.081357479095459, 0.8050804138183594,
      0.2532230615615845,
    ],
    normal: [-0.02830461598932743, 0.4671318531036377, 0.2957029640674591],
    bernoulli: "1111111010100010111011111011100110111111111111101111101111101101",
    digits: "4419997746245120345923874121299278142433965952647385234910715040",
    integers: 0x650a4747,
    permutation: [7, 4, 2, 5, 3, 6, 8, 9, 0, 1],
  },
];

const drawing: Case[] = jax.map((want) => ({
  name: `draws of key ${want.seed} are JAX's, bit for bit`,
  async run() {
    const key = random.key(want.seed);
    equal("key", words(key), [0, want.seed]);
    equal("split", words(...random.split(key)), want.split);
    equal("split into 5", words(random.split(key, 5)[4]!), want.lastOf5);
    for (const [n, w] of Object.entries(want.fold))
      equal(`foldIn ${n}`, words(random.foldIn(key, Number(n))), w);
    equalBits("bits", random.bits(key, [5]).data, want.bits);
    equalBits("bits of a scalar", random.bits(key, []).data, want.bits.slice(0, 1));
    equal("1000 bits", hash(random.bits(key, [1000]).data), want.bits1000);
    equal("1000 uniforms", hash(random.uniform(key, [1000]).data), want.uniform1000);
    const between = random.uniform(key, [5], { minval: -2, maxval: 3 });
    equalBits("uniforms in [-2, 3)", between.data, want.uniformBetween);
    equalBits("normals", random.normal(key, [3]).data, want.normal);
    equal("1000 normals", hash(random.normal(key, [1000]).data), want.normal1000);
    const normals = random.normal(key, [7, 3, 2]);
    equal("normals [7, 3, 2]", [normals.shape, hash(normals.data)], [[7, 3, 2], want.normal7x3x2]);
    equal("truncated", hash(random.truncatedNormal(key, [64]).data), want.truncated64);
    equal("coins", bools(random.bernoulli(key, [64], { p: 0.75 }).data), want.bernoulli);
    equal("digits", bools(random.randint(key, [64], { maxval: 10 }).data), want.digits);
    const integers = random.randint(key, [64], { minval: -5, maxval: 1000 }).data;
    equal("integers in [-5, 1000)", hash(integers), want.integers);
    equalBits("permutation", random.permutation(key, 10).data, want.permutation);
  },
}));

const kernel = /* @__PURE__ */ defineKernel(
  `// random.wgsl: the bits and uniforms of a key, and its split, one element a thread.
struct Params { hi: u32, lo: u32, n: u32 }
@group(0) @binding(0) var<storage, read_write> bits: array<u32>;
@group(0) @binding(1) var<storage, read_write> uniforms: array<f32>;
@group(0) @binding(2) var<storage, read_write> keys: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;
@compute @workgroup_size(64) fn draw(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i >= p.n) { return; }
  let key = vec2u(p.hi, p.lo);
  bits[i] = randomBits(key, i);
  uniforms[i] = uniformF32(bits[i]);
  let next = threefry2x32(key, vec2u(0u, i));
  keys[2u * i] = next.x;
  keys[2u * i + 1u] = next.y;
}
`,
  { entry: "draw", uses: [threefry] },
);

export const cases: readonly Case[] = [
  ...drawing,
  {
    name: "threefry in WGSL gives the host's bits, uniforms and keys",
    async run(gpu) {
      for (const seed of [0, 42, 0xffffffff]) {
        const n = 333;
        const key = random.foldIn(random.key(seed), 5);
        const made = { bits: gpu.zeros([n], "u32"), uniforms: gpu.zeros([n]) };
        const keys = gpu.zeros([n, 2], "u32");
        gpu.dispatch(kernel, { ...made, keys }, { ...key, n }, [n]);
        equalBits(`bits ${seed}`, await made.bits.data(), random.bits(key, [n]).data);
        equalBits(`uniforms ${seed}`, await made.uniforms.data(), random.uniform(key, [n]).data);
        equalBits(`keys ${seed}`, await keys.data(), words(...random.split(key, n)));
        for (const t of [made.bits, made.uniforms, keys]) t.dispose();
      }
    },
  },
  {
    name: "a key sequence is Haiku's",
    async run() {
      const want = [
        195045567, 4062205631, 533473832, 2443621858, 2080299353, 3132841691, 633396024, 1463758649,
        400014582, 1736700117, 81706423, 738178565,
      ];
      const { data, shape } = random.keys(random.key(7), 6);
      equal("shape", shape, [6, 2]);
      equalBits("keys", data, want);
      const next = random.sequence(random.key(7));
      equal("next", words(...want.slice(0, 6).map(() => next.next())), want);
      const step = random.keys([7, 3], 4);
      const folded = random.keys(random.foldIn(random.key(7), 3), 4);
      equalBits("keys of a step", step.data, folded.data);
      equal("no draws", random.keys([7, 3], 0).shape, [1, 2]);
    },
  },
  {
    name: "normals have the moments and tails of a normal distribution",
    async run() {
      const n = 200_000;
      const { data } = random.normal(random.key(3), [n]);
      const moment = (k: number) => data.reduce((sum, v) => sum + v ** k, 0) / n;
      for (const [k, want] of [0, 1, 0, 3, 0, 15].entries()) {
        const got = moment(k + 1);
        // Five standard errors: the variance of v^k is (2k - 1)!! at most.
        const slack = 5 * Math.sqrt([1, 3, 15, 105, 945, 10395][k]! / n);
        assert(Math.abs(got - want) < slack, `moment ${k + 1}`, got);
      }
      const outside = data.filter((v) => Math.abs(v) > 1.959964).length / n;
      assert(Math.abs(outside - 0.05) < 0.0025, "5 % beyond 1.96", outside);
      assert(data.every(Number.isFinite), "all finite");
    },
  },
  {
    name: "truncated normals stay inside their bounds, whatever these are",
    async run() {
      const key = random.key(1);
      for (const [lower, upper] of [
        [-2, 2],
        [0, 1],
        [-0.5, 3.25],
        [1.5, 1.5000001192092896 + 1e-3],
        [-40, 40],
      ] as const) {
        const { data } = random.truncatedNormal(key, [5000], { lower, upper });
        const bad = data.find((v) => !(v > lower && v < upper));
        equal(`[${lower}, ${upper}]`, bad, undefined);
      }
      // Bounds that cut off nothing give the normal's values, but for the last bit of each uniform.
      const wide = random.truncatedNormal(key, [1000], { lower: -40, upper: 40 }).data;
      near("wide bounds", wide, random.normal(key, [1000]).data, { tolerance: 1e-5, max: 1e-4 });
    },
  },
  {
    name: "integers are even, negative ones in two's complement; a permutation has all",
    async run() {
      const key = random.key(9);
      const counts = new Array<number>(7).fill(0);
      for (const v of random.randint(key, [70_000], { maxval: 7 }).data) counts[v]! += 1;
      for (const c of counts) assert(Math.abs(c - 10_000) < 500, "an even count", c);
      const signed = Array.from(random.randint(key, [99], { minval: -3, maxval: 0 }).data);
      equal("negative", [...new Set(signed.map((v) => v | 0))].sort(), [-1, -2, -3]);
      equal("one value", bools(random.randint(key, [3], { minval: 5, maxval: 6 }).data), "555");
      const order = random.permutation(key, 3001).data;
      equalBits("sorted", order.slice().sort(), Uint32Array.from(order.keys()));
      assert(
        order.some((v, i) => v !== i),
        "in another order",
      );
      equalBits("one element", random.permutation(key, 1).data, [0]);
    },
  },
  {
    name: "bad arguments are named",
    async run() {
      const key = random.key(0);
      const bad = (f: () => unknown, ...patterns: RegExp[]) =>
        throws("random", f, ShapeError, ...patterns);
      await bad(() => random.key(2 ** 32), /random\.key/, /seed/, /4294967296/);
      await bad(() => random.key(0.5), /seed/, /0\.5/);
      await bad(() => random.foldIn(key, -1), /random\.foldIn/, /-1/);
      await bad(() => random.uniform(key, [3, 0]), /random\.uniform/, /3,0/);
      await bad(() => random.normal(key, [2 ** 16, 2 ** 16]), /random\.normal/, /4294967296/);
      await bad(() => random.keys([0, 1.5], 3), /foldIn/, /1\.5/);
      await bad(() => random.randint(key, [1], { minval: 3, maxval: 3 }), /maxval/, /got 3/);
      await bad(() => random.truncatedNormal(key, [1], { lower: 1, upper: 1 }), /not below/);
    },
  },
];
