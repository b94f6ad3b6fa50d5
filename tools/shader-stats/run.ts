// What AMD's compiler makes of the kernels, without a GPU: registers, spills, occupancy, and a tile's share of
// multiply-adds. Never a timing. From the repository's root, after a build (npm run shader-stats does both):
//
//   node tools/run.mjs tools/shader-stats/run.ts [OPTION...]
//
//   --check           exit with 1, and a list, where a floor of report.ts is broken
//   --write           write the tables into docs/kernels.md, between their marks
//   --family LIST     chip families as RADV names them, comma-separated (default navi21,navi31,vega10)
//   --filter REGEX    only kernels with a matching label
//   --loops           also the instructions of each loop, one turn
//   --asm             also the programs
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { writeFile } from "../../src/platform/node/index.ts";
import type { Loop } from "./aco.ts";
import { compileAll, mark } from "./child.ts";
import { type Compiled, compileFor, composedFor, type Job } from "./compile.ts";

const FAMILIES = "navi21,navi31,vega10"; // RDNA 2, RDNA 3, and GCN 5 for the older ones
const DOCUMENT = "docs/kernels.md";

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      check: { type: "boolean", default: false },
      write: { type: "boolean", default: false },
      family: { type: "string", default: FAMILIES },
      filter: { type: "string", default: "" },
      loops: { type: "boolean", default: false },
      asm: { type: "boolean", default: false },
    },
  });
  const { asMarkdown, asText, between, faults, kernelTable, tileTable } = await report();
  const families = options.family.split(",");
  const partial = options.filter !== "" || options.family !== FAMILIES;
  if (partial && (options.check || options.write))
    throw new Error("shader-stats: --check and --write are about all kernels and families");
  const wanted = new RegExp(options.filter);
  const jobs = (await composedFor(families[0]!)).filter((job) => wanted.test(job.label));
  if (jobs.length === 0) throw new Error(`shader-stats: no kernel matches ${wanted}`);
  const all = await Promise.all(families.map((family) => compileFor(family, jobs)));

  const tables = [tileTable(jobs, all), kernelTable(jobs, all)].filter((t) => t.length > 1);
  console.log([all[0]!.driver, ...tables.map(asText)].join("\n\n"));
  for (const compiled of all) details(jobs, compiled, options);
  if (options.write) {
    const [tiles, kernels] = tables.map(asMarkdown);
    const text = between(readFileSync(DOCUMENT, "utf8"), "tiles", `${all[0]!.driver}\n\n${tiles}`);
    await writeFile(DOCUMENT, [new TextEncoder().encode(between(text, "kernels", kernels!))]);
  }
  if (options.check) judge(faults(jobs, all), jobs.length, families);
}

function judge(broken: readonly string[], kernels: number, families: readonly string[]): void {
  const what = `${kernels} kernels on ${families.join(", ")}`;
  if (broken.length === 0) console.log(`\nAll floors hold: ${what}.`);
  else {
    console.error([`\n${broken.length} broken floors (${what}):`, ...broken].join("\n  "));
    process.exitCode = 1;
  }
}

function details(
  jobs: readonly Job[],
  { family, shaders }: Compiled,
  { loops, asm }: { readonly loops: boolean; readonly asm: boolean },
): void {
  shaders.forEach((shader, i) => {
    const title = `\n${jobs[i]!.label} on ${family}`;
    if (loops && shader.loops.length > 0)
      console.log([title, ...shader.loops.flatMap(lines)].join("\n"));
    if (asm) console.log(`${title}\n${shader.assembly}`);
  });
}

const lines = ({ header, depth, mix, inner }: Loop): string[] => [
  `${"  ".repeat(depth)}${header}: ${Object.entries(mix)
    .map(([name, n]) => `${n} ${name}`)
    .join(", ")}`,
  ...inner.flatMap(lines),
];

// Loaded when called: both reach the ops, and the composing process watches how those declare their kernels.
const report = () => import("./report.ts");
const compose = async () => (await import("./compose.ts")).compose();

const mode = process.argv[2];
if (mode === "--compile" || mode === "--compose") {
  // A process of one family (compile.ts). It exits without closing the device: nothing is behind it.
  const failed = await (mode === "--compile" ? compileAll : compose)().catch((e: Error) => e);
  if (failed) mark(`failed ${JSON.stringify(failed.stack)}`);
  process.exit(failed ? 1 : 0);
}
await main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
