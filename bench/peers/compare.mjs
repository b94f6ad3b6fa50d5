// One operation in all libraries: values held to f64, then timed turn by turn.
import { statsOf } from "../../dist/bench/measure.js";
import { patiently } from "../../dist/platform/node/index.js";
import { hostInputs, ours, theirs } from "./runners.mjs";
import { bounds, worstOf } from "./values.mjs";

/** Milliseconds of a round, and its most calls: results of all of them are alive until its end. */
const ROUND = 60;
const MOST_CALLS = 40;
/** Seconds that a peer may take to get ready and compute once: compilers are slow, and a promise may never resolve. */
const READY = 300;
/** An operation's rounds end early past this many seconds, but not before the fifth. */
const MOST = 20;
const FEWEST = 5;

/** `promise`, or an error after `seconds`. Its timer also keeps Node from stopping to wait for its own compilers. */
export async function within(seconds, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    const error = new Error(`${what} took longer than ${seconds} s`);
    timer = setTimeout(() => reject(error), 1000 * seconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The seconds of one call: a round calls a library until some 60 ms are full, at least twice, and then waits for all. One
 * short call alone would measure how late a software adapter's second thread wakes up.
 */
function timed(call) {
  let fastest = 0;
  return async () => {
    const calls = fastest === 0 ? 2 : Math.min(MOST_CALLS, Math.max(2, Math.ceil(ROUND / fastest)));
    const started = performance.now();
    const made = [];
    for (let i = 0; i < calls; i++) made.push(await call());
    // jax-js computes nothing that nobody waits for. All are waited for alike, as nfgrad does: host asleep, core free.
    await patiently(Promise.all(made.map((one) => one.done())));
    const ms = (performance.now() - started) / calls;
    fastest = fastest === 0 ? ms : Math.min(fastest, ms);
    for (const { drop } of made) drop();
    return ms / 1000;
  };
}

/** A first call: its results. */
async function valuesOf(runner, factor = 1) {
  const { done, read, drop } = await runner.call();
  await done();
  const results = await read();
  drop();
  return factor === 1 ? results : results.map((data) => data.map((v) => v * factor));
}

/** A peer that computes what it should, or the reason why it is not compared; null: it has no such operation. */
async function ready(peer, op, hosts, expected) {
  const failed = (why) => ({ failure: `${peer.name}: ${why}` });
  try {
    const runner = await within(READY, "making it", Promise.resolve(theirs(peer, op, hosts)));
    if (!runner) return null;
    const factor = peer.name === "ort" ? op.ort.factor : 1;
    const values = await within(READY, "the first call", valuesOf(runner, factor));
    const errors = worstOf(values, expected);
    const wrong = judged(errors, op.kind, peer.name);
    if (wrong) return { ...failed(wrong), errors };
    return { runner, errors };
  } catch (error) {
    return failed(`${error?.message ?? error}`.split("\n")[0]);
  }
}

/** What is wrong with values of these errors; null if nothing is. */
function judged({ l2, max }, kind, library) {
  const [most, greatest] = bounds[kind][library];
  if (l2 <= most && max <= greatest) return null;
  const shown = (v) => v.toExponential(1);
  return `wrong values: error ${shown(l2)} (greatest ${shown(max)}), allowed ${shown(most)} (${shown(greatest)})`;
}

async function rounds(runners, count, seconds) {
  const timers = runners.map(({ call }) => timed(call));
  const started = performance.now();
  for (let round = -2; round < count; round++) {
    const late = performance.now() - started > 1000 * MOST;
    if (round >= FEWEST && late) break;
    for (const [i, time] of timers.entries()) {
      const each = await time();
      if (round >= 0) seconds[i].push(each); // the first two warm up
    }
  }
}

/** One row: what `--json` writes, and beside it the errors that were measured. */
export async function compare(gpu, peers, op, { count, peak, seed }) {
  const hosts = hostInputs(op, seed);
  const expected = op.expected(
    Object.fromEntries(Object.entries(hosts).map(([key, { data }]) => [key, data])),
  );
  const mine = await ours(gpu, op, hosts);
  const errors = { ours: worstOf(await valuesOf(mine), expected) };
  const wrong = judged(errors.ours, op.kind, "ours");
  if (wrong) throw new Error(`${op.name}: ours: ${wrong}`);
  const compared = [["ours", mine]];
  const failures = [];
  const absent = [];
  for (const peer of peers) {
    const made = await ready(peer, op, hosts, expected);
    if (!made) {
      absent.push(peer.name);
      continue;
    }
    if (made.errors) errors[peer.name] = made.errors;
    if (made.failure) failures.push(made.failure);
    else compared.push([peer.name, made.runner]);
  }
  const seconds = compared.map(() => []);
  await rounds(
    compared.map(([, runner]) => runner),
    count,
    seconds,
  );
  for (const [, { close }] of compared) await close();
  const stats = seconds.map(statsOf).map(({ median, min }) => ({ median, min }));
  const [own, ...others] = stats;
  const ratio = (key) =>
    others.length > 0 ? Math.min(...others.map((s) => s[key])) / own[key] : null;
  const limit = op.flops ? peak.gflops : op.bytes ? peak.copyGBs : null;
  return {
    errors,
    row: {
      op: op.name,
      ours: own,
      peers: Object.fromEntries(others.map((s, i) => [compared[i + 1][0], s])),
      ratioMedian: ratio("median"),
      ratioMin: ratio("min"),
      percentOfPeak: limit ? (op.flops ?? op.bytes) / own.median / 1e7 / limit : null,
      ...(absent.length > 0 && { absent }),
      ...(failures.length > 0 && { failures }),
    },
  };
}
