// nfgrad and other WebGPU libraries, turn by turn in one process on one adapter: options, adapter, rows. How an
// operation is compared is compare.mjs; what is compared is operations.mjs.
//
//   npm run bench:peers -- --help
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { withReport } from "../../dist/bench/document.js";
import { roofline } from "../../dist/bench/roofline.js";
import { withGpu } from "../../dist/cli/adapter.js";
import { checkFile, help, pattern, read } from "../../dist/cli/args.js";
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
    markdown: { type: "text", value: "FILE", help: "a table, between the marks of FILE" },
  },
};

const WHERE = `nfgrad ${command.name}`;

function optionsOf(args) {
  const { values } = read(command, args);
  for (const name of ["json", "markdown"])
    if (typeof values[name] === "string") checkFile(WHERE, name, values[name]);
  return { rounds: 11, shapes: "table", filter: "", ...values };
}

function chosen({ shapes: which, filter }) {
  const wanted = pattern(WHERE, filter);
  const all = which === "all" ? [...shapes.table(), ...shapes.odd()] : shapes[which]();
  const some = all.filter(({ name }) => wanted.test(name));
  if (some.length > 0) return some;
  throw new Error(`${WHERE}: none of ${all.length} operations matches --filter '${filter}'`);
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

async function openPeers() {
  const peers = [];
  for (const [name, open] of [
    ["jax-js", openJax],
    ["tfjs", openTfjs],
    ["ort", openOrt],
  ]) {
    try {
      peers.push(await within(60, "opening it", open()));
    } catch (error) {
      console.log(`${name} does not start: ${error.message}`);
      process.exitCode = 1;
    }
  }
  return peers;
}

/** A row for people, and what its values were off by. */
function lines({ row, errors }) {
  const ms = ({ median, min }) => `${(1000 * median).toFixed(2)}/${(1000 * min).toFixed(2)}`;
  const them = [
    ...Object.entries(row.peers).map(([name, s]) => `${name} ${ms(s)}`),
    ...(row.absent ?? []).map((name) => `${name} absent`),
  ];
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

/** The same as a table. */
function table({ adapter, peak, rows }) {
  const head = ["operation", "ours", "best peer", "ratio of medians", "of minima", "of peak"];
  const ms = (seconds) => `${(1000 * seconds).toPrecision(3)} ms`;
  const body = rows.map(({ op, ours, peers, ratioMedian, ratioMin, percentOfPeak }) => {
    const [best] = Object.entries(peers).sort(([, a], [, b]) => a.median - b.median);
    const share = percentOfPeak === null ? "" : `${percentOfPeak.toFixed(0)} %`;
    const than = best
      ? [`${best[0]} ${ms(best[1].median)}`, ratioMedian.toFixed(1), ratioMin.toFixed(1)]
      : ["", "", ""];
    return [op, ms(ours.median), ...than, share];
  });
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [
    `${adapter}; peak ${peak.gflops.toFixed(0)} GFLOP/s, copy ${peak.copyGBs.toFixed(1)} GB/s. One run; medians.`,
    "",
    ...[head, head.map((_, i) => (i < 1 ? "---" : "--:")), ...body].map(line),
    "",
  ].join("\n");
}

/** All rows, each told as soon as it is there. */
async function rowsOf(gpu, operations, count) {
  await shareAdapter();
  // Two functions of ONNX Runtime that run once are 1.3 MB each: V8 would optimize them for a minute, beside our timing.
  setFlagsFromString("--wasm-tiering-budget=20000000");
  const peers = await openPeers();
  const { gflops, copyGBs } = await roofline(gpu);
  const peak = { gflops, copyGBs };
  console.log(`peak: ${gflops.toFixed(0)} GFLOP/s, copy ${copyGBs.toFixed(1)} GB/s`);
  const rows = [];
  const seed = Date.now();
  for (const op of operations) {
    const compared = await compare(gpu, peers, op, { count, peak, seed });
    rows.push(compared.row);
    for (const line of lines(compared)) console.log(line);
    if (compared.row.failures) process.exitCode = 1;
  }
  return { adapter: gpu.info.description, peak, rows };
}

async function main() {
  const options = optionsOf(process.argv.slice(2));
  if (options.help) {
    console.log(help(command));
    return;
  }
  const { json, markdown, rounds, tuning, adapter = process.env.NFGRAD_ADAPTER } = options;
  const operations = chosen(options);
  if (json === true) console.log = console.error; // the rows have stdout for themselves
  let result;
  await withGpu(
    { adapter, tuning },
    async (gpu) => {
      result = await rowsOf(gpu, operations, rounds);
    },
    console.log,
  );
  const text = `${JSON.stringify(result, null, 2)}\n`;
  if (json === true) await new Promise((done) => process.stdout.write(text, done));
  else if (json) writeFileSync(json, text);
  if (!markdown) return;
  const before = existsSync(markdown) ? readFileSync(markdown, "utf8") : null;
  writeFileSync(markdown, withReport(before, table(result), markdown, "peers"));
}

try {
  await main();
} catch (error) {
  console.error(process.argv.includes("--debug") ? error.stack : `error: ${error.message}`);
  process.exitCode = 1;
}
process.exit(); // the peers keep their devices, and with them the process
