// nfgrad and other WebGPU libraries, turn by turn in one process on one adapter: options, adapter, rows. How an
// operation is compared is compare.mjs; what is compared is operations.mjs.
//
//   npm run bench:peers -- --help
import { writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { roofline } from "../../dist/bench/roofline.js";
import { help, read } from "../../dist/cli/args.js";
import { openGpu } from "../../dist/index.js";
import { compare, within } from "./compare.mjs";
import { openJax, openOrt, openTfjs } from "./libraries.mjs";
import { shapes } from "./operations.mjs";

const command = {
  name: "bench:peers",
  summary: "Compares nfgrad with jax-js, TensorFlow.js and ONNX Runtime Web on one adapter.",
  options: {
    filter: { type: "text", value: "REGEX", help: "only the operations whose names match" },
    shapes: {
      type: "text",
      choices: ["table", "odd", "all"],
      help: "the table's operations (default), others that must not be slow, or both",
    },
    rounds: { type: "integer", min: 1, help: "calls of each library that are timed (11)" },
    json: { type: "text", optional: true, value: "FILE", help: "the rows, to FILE or stdout" },
  },
};

function optionsOf(args) {
  const { values } = read(command, args);
  if (values.help) {
    console.log(help(command));
    process.exit(0);
  }
  return { rounds: 11, shapes: "table", filter: "", ...values };
}

function chosen({ shapes: which, filter }) {
  const all = which === "all" ? [...shapes.table(), ...shapes.odd()] : shapes[which]();
  let pattern;
  try {
    pattern = new RegExp(filter);
  } catch (error) {
    throw new Error(`nfgrad bench:peers: --filter: ${error.message}`);
  }
  const some = all.filter(({ name }) => pattern.test(name));
  if (some.length > 0) return some;
  throw new Error(`nfgrad bench:peers: no operation matches --filter ${filter}`);
}

/** The peers look for navigator.gpu: they get the object that nfgrad opened its adapter with. */
async function shareAdapter() {
  const dawn = globalThis[Symbol.for("nfgrad.dawn")];
  const { globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  globalThis.self ??= globalThis;
  const gpu = dawn.software ?? dawn.plain;
  Object.defineProperty(globalThis, "navigator", {
    value: { gpu, userAgent: "node", hardwareConcurrency: 2, platform: "linux" },
    configurable: true,
  });
}

async function openPeers(log) {
  const peers = [];
  for (const [name, open] of [
    ["jax-js", openJax],
    ["tfjs", openTfjs],
    ["ort", openOrt],
  ]) {
    try {
      peers.push(await within(60, "opening it", open()));
    } catch (error) {
      log(`${name} does not start: ${error.message}`);
      process.exitCode = 1;
    }
  }
  return peers;
}

/** A row for people, and what its values were off by. */
function lines({ row, errors }) {
  const ms = ({ median, min }) => `${(1000 * median).toFixed(2)}/${(1000 * min).toFixed(2)}`;
  const them = Object.entries(row.peers).map(([name, s]) => `${name} ${ms(s)}`);
  const ratio =
    row.ratioMedian === null
      ? "no ratio"
      : `x${row.ratioMedian.toFixed(1)} (minima x${row.ratioMin.toFixed(1)})`;
  const share = row.percentOfPeak === null ? "" : `, ${row.percentOfPeak.toFixed(0)} % of peak`;
  const off = Object.entries(errors).map(
    ([name, { l2, max }]) => `${name} ${l2.toExponential(1)} (${max.toExponential(1)})`,
  );
  return [
    `${row.op.padEnd(42)} ours ${ms(row.ours)} ms  ${them.join("  ")}  ${ratio}${share}`,
    `  errors: ${off.join("  ")}`,
    ...(row.failures ?? []).map((failure) => `  ${failure}`),
  ];
}

async function main() {
  const options = optionsOf(process.argv.slice(2));
  const operations = chosen(options);
  const { json } = options;
  const log = json === true ? console.error : console.log;
  const kind = options.adapter ?? process.env.NFGRAD_ADAPTER;
  const gpu = await openGpu(kind ? { adapter: kind } : {});
  const adapter = gpu.info.description;
  await shareAdapter();
  // Two functions of ONNX Runtime that run once are 1.3 MB each: V8 would optimize them for a minute, beside our timing.
  setFlagsFromString("--wasm-tiering-budget=20000000");
  const peers = await openPeers(log);
  const { gflops, copyGBs } = await roofline(gpu);
  log(`${adapter}; peak ${gflops.toFixed(0)} GFLOP/s, copy ${copyGBs.toFixed(1)} GB/s`);

  const rows = [];
  const seed = Date.now();
  for (const op of operations) {
    const compared = await compare(gpu, peers, op, {
      ...{ count: options.rounds, peak: { gflops, copyGBs }, seed },
    });
    rows.push(compared.row);
    for (const line of lines(compared)) log(line);
    if (compared.row.failures) process.exitCode = 1;
  }
  const text = `${JSON.stringify({ adapter, peak: { gflops, copyGBs }, rows }, null, 2)}\n`;
  if (json === true) process.stdout.write(text);
  else if (json) writeFileSync(json, text);
  await gpu.close();
}

try {
  await main();
} catch (error) {
  console.error(process.argv.includes("--debug") ? error.stack : `error: ${error.message}`);
  process.exitCode = 1;
}
process.exit(); // the peers keep their devices, and with them the process
