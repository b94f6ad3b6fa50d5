// nfgrad and other WebGPU libraries, turn by turn in one process on one adapter. Values are checked before anything is
// timed, and the host sleeps the same way for all.
//
//   npm run bench:peers -- [--filter REGEX] [--rounds N] [--json [FILE]]
import { writeFileSync } from "node:fs";
import { randomData } from "../../dist/bench/case.js";
import { statsOf } from "../../dist/bench/measure.js";
import { roofline } from "../../dist/bench/roofline.js";
import { grad, openGpu, ops } from "../../dist/index.js";
import { channelsFirst, channelsLast } from "./layout.mjs";
import { openJax, openOrt, openTfjs } from "./libraries.mjs";
import { listed, operations } from "./operations.mjs";

const args = process.argv.slice(2);
const option = (name, fallback) => {
  const at = args.indexOf(`--${name}`);
  if (at < 0) return undefined;
  const value = args[at + 1];
  return value && !value.startsWith("--") ? value : fallback;
};
const json = option("json", "peers.json");
const filter = new RegExp(option("filter", "") ?? "");
const rounds = Number(option("rounds", "11") ?? 11);
if (!(rounds >= 1)) throw new Error(`bench:peers: --rounds expects a number of at least 1`);

const nap = new Int32Array(new SharedArrayBuffer(4));
/** Sleeps for most of the expected milliseconds: a pending promise of Dawn's takes a core. The same for all. */
const sleep = (ms) => ms > 1 && Atomics.wait(nap, 0, 0, ms * 0.85);

/** One call from the start to the device's end, in seconds. Sleeps never longer than the fastest call so far. */
function timed(call) {
  let expected = Number.POSITIVE_INFINITY;
  return async () => {
    const started = performance.now();
    const { done, drop } = await call();
    if (Number.isFinite(expected)) sleep(0.7 * expected);
    await done;
    const ms = performance.now() - started;
    expected = Math.min(expected, ms);
    drop();
    return ms / 1000;
  };
}

/** The same inputs for all libraries, uniform in [-scale, scale). */
const hostInputs = ({ name, inputs }) =>
  Object.fromEntries(
    Object.entries(inputs).map(([key, { shape, kind, scale = 1 }]) => {
      const data = randomData(
        `${name} ${key}`,
        shape.reduce((n, d) => n * d, 1),
      );
      if (scale !== 1) for (let i = 0; i < data.length; i++) data[i] *= scale;
      return [key, { data, shape, kind }];
    }),
  );

function ourCall(gpu, recorded) {
  return () => {
    const result = recorded();
    return {
      get done() {
        return gpu.sync();
      },
      read: () => Promise.all(listed(result).map((t) => t.data())),
      drop: () => {},
    };
  };
}

function ours(gpu, op, hosts) {
  const tensors = Object.fromEntries(
    Object.entries(hosts).map(([key, { data, shape }]) => [key, gpu.tensor(data, shape)]),
  );
  const whole = gpu.record(() => op.ours(tensors, { grad }), { name: op.name });
  const part = op.without && gpu.record(() => op.without(tensors), { name: op.name });
  return {
    call: ourCall(gpu, whole),
    without: part && ourCall(gpu, part),
    close() {
      whole.dispose();
      part?.dispose();
      for (const t of Object.values(tensors)) t.dispose();
    },
  };
}

async function theirs(peer, op, hosts) {
  const given = peer.channels === "first" ? mapValues(hosts, channelsFirst) : hosts;
  if (peer.name === "ort") {
    if (!op.ort) return null;
    const out =
      peer.channels === "first" ? channelsFirst({ ...op.out, data: [] }).shape : op.out.shape;
    return peer.session({ ...op.ort, inputs: given, out });
  }
  const make = op[peer.name === "jax-js" ? "jax" : "tfjs"];
  if (!make) return null;
  const arrays = Object.values(given).map((host) => peer.array(host));
  const f = make(peer.library);
  return {
    call: peer.prepare(f, arrays, { whole: f.whole ?? false }),
    close() {
      for (const a of arrays) a.dispose();
    },
  };
}
const mapValues = (object, f) =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, f(value)]));

/** The results of a call in our layout. */
async function valuesOf(call, op, channels, factor = 1) {
  const { done, read, drop } = await call();
  await done;
  const outs = [op.out].flat();
  const results = (await read()).map((data, i) => {
    const { shape, kind } = outs[i];
    const last = channels === "first" ? channelsLast(data, shape, kind) : data;
    return factor === 1 ? last : last.map((v) => v * factor);
  });
  drop();
  return results;
}

/** The norm of the difference of two results, relative, over the 1e-3 that two orders of summation may differ by. */
function disagreement(a, b) {
  return Math.max(
    ...a.map((x, k) => {
      let [difference, norm] = [0, 0];
      x.forEach((v, i) => {
        difference += (v - b[k][i]) ** 2;
        norm += v ** 2;
      });
      return Math.sqrt(difference / norm) / 1e-3;
    }),
  );
}

async function compare(gpu, peers, op, empty, peak) {
  const hosts = hostInputs(op);
  const data = mapValues(hosts, ({ data }) => data);
  const mine = ours(gpu, op, hosts);
  const runners = [{ name: "ours", ...mine }];
  const failures = [];
  const own = await valuesOf(mine.call, op, "last");
  const judge = (values) => (op.agree ? disagreement(own, values) : op.check(values, data));
  const error = judge(own);
  if (!(error <= 1)) throw new Error(`${op.name}: our values are wrong (${error})`);
  for (const peer of peers) {
    try {
      const runner = await theirs(peer, op, hosts);
      if (!runner) continue;
      const values = await valuesOf(
        runner.call,
        op,
        peer.channels,
        peer.name === "ort" ? op.ort.factor : 1,
      );
      const wrong = judge(values);
      if (wrong <= 1) runners.push({ name: peer.name, ...runner });
      else failures.push(`${peer.name}: wrong values (${wrong.toPrecision(3)} x what is allowed)`);
    } catch (error) {
      failures.push(`${peer.name}: ${error.message.split("\n")[0]}`);
    }
  }
  const timers = runners.map(({ call }) => timed(call));
  const part = mine.without && timed(mine.without);
  const base = timed(empty);
  const seconds = runners.map(() => []);
  const [parts, empties] = [[], []];
  for (let round = -2; round < rounds; round++) {
    for (const [i, time] of timers.entries()) {
      const each = await time();
      if (round >= 0) seconds[i].push(each); // the first two warm up
      if (i > 0 || !part) continue;
      const [forward, call] = [await part(), await base()];
      if (round < 0) continue;
      parts.push(forward);
      empties.push(call);
    }
  }
  for (const { close } of runners) await close();
  const stats = seconds.map(statsOf).map(({ median, min }) => ({ median, min }));
  if (part) {
    // Without the forward pass, but with what a call costs: that of a call with one tiny dispatch.
    const paired = statsOf(seconds[0].map((whole, i) => whole - parts[i] + empties[i]));
    const min = stats[0].min - statsOf(parts).min + statsOf(empties).min;
    stats[0] = { median: paired.median, min };
    if (!(paired.median > 0 && min > 0)) {
      failures.push(
        "ours: no time left after subtracting the forward pass: the machine is too busy",
      );
      stats[0] = { median: null, min: null };
    }
  }
  const [first, ...others] = stats;
  const best = (key) => Math.min(...others.map((s) => s[key]));
  const gflops = op.flops && first.median ? op.flops / first.median / 1e9 : null;
  return {
    op: op.name,
    ours: first,
    peers: Object.fromEntries(others.map((s, i) => [runners[i + 1].name, s])),
    ratioMedian: others.length > 0 && first.median ? best("median") / first.median : null,
    ratioMin: others.length > 0 && first.min ? best("min") / first.min : null,
    percentOfPeak: gflops === null ? null : (100 * gflops) / peak.gflops,
    failures,
  };
}

const chosen = operations.filter(({ name }) => filter.test(name));
if (chosen.length === 0) throw new Error(`bench:peers: no operation matches --filter ${filter}`);
const adapter = process.env.NFGRAD_ADAPTER;
const gpu = await openGpu(adapter ? { adapter } : {});
const { description, kind } = gpu.info;
// The peers look for navigator.gpu: they get the object that nfgrad opened its adapter with, so the adapter is the same.
const dawn = globalThis[Symbol.for("nfgrad.dawn")];
const { globals } = await import("webgpu");
Object.assign(globalThis, globals);
globalThis.self ??= globalThis;
Object.defineProperty(globalThis, "navigator", {
  value: {
    gpu: dawn.software ?? dawn.plain,
    userAgent: "node",
    hardwareConcurrency: 2,
    platform: "linux",
  },
  configurable: true,
});

const peers = [];
for (const open of [openJax, openTfjs, openOrt]) {
  try {
    peers.push(await open());
  } catch (error) {
    console.error(`${open.name.slice(4)} does not start: ${error.message}`);
    process.exitCode = 1;
  }
}
const peak = await roofline(gpu);
console.log(
  `${description} (${kind}); peak ${peak.gflops.toFixed(0)} GFLOP/s, copy ${peak.copyGBs.toFixed(1)} GB/s`,
);

const one = gpu.zeros([4]);
const empty = ourCall(
  gpu,
  gpu.record(() => ops.add(one, 1), { name: "empty" }),
);
const rows = [];
for (const op of chosen) {
  const { failures, ...row } = await compare(gpu, peers, op, empty, peak);
  rows.push(row);
  const ms = ({ median, min }) =>
    median === null ? "-" : `${(1000 * median).toFixed(2)}/${(1000 * min).toFixed(2)}`;
  const them = Object.entries(row.peers).map(([name, s]) => `${name} ${ms(s)}`);
  const ratio =
    row.ratioMedian === null
      ? "no ratio"
      : `x${row.ratioMedian.toFixed(1)} (minima x${row.ratioMin.toFixed(1)})`;
  const share = row.percentOfPeak === null ? "" : `, ${row.percentOfPeak.toFixed(0)} % of peak`;
  console.log(
    `${op.name.padEnd(42)} ours ${ms(row.ours)} ms  ${them.join("  ")}  ${ratio}${share}`,
  );
  for (const failure of failures) console.log(`  ${failure}`);
  if (failures.some((f) => /wrong values|no time left/.test(f))) process.exitCode = 1;
}
if (json)
  writeFileSync(
    json,
    `${JSON.stringify({ adapter: description, peak: { gflops: peak.gflops, copyGBs: peak.copyGBs }, rows }, null, 2)}\n`,
  );
await gpu.close();
process.exit(); // the peers keep their devices, and with them the process
