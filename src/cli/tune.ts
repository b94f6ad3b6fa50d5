// `nfgrad tune`: finds the fastest variants for products of matrices on this adapter and writes them into a file. The
// tuner is bench/tune.ts, what it tries src/ops/variants.ts.
import { cases } from "../../bench/cases.ts";
import { tune as run, type Tuned } from "../../bench/tune.ts";
import type { Gpu } from "../core/gpu.ts";
import { OptionError } from "../errors.ts";
import { productName, type Traced, trace } from "../ops/tuning.ts";
import { writeFile } from "../platform/node/index.ts";
import { withGpu } from "./adapter.ts";
import { checkFile, command, pattern } from "./args.ts";

const WHERE = "nfgrad tune";
/** Convolutions and matrix products; whole networks, which run the same, only where they are asked for. */
const USUAL = /^(conv2d|matmul)\b/;

const write = (file: string, text: string) => writeFile(file, [new TextEncoder().encode(text)]);

/** The products of some cases of `nfgrad bench`, each once. */
async function productsOf(gpu: Gpu, only: ReturnType<typeof cases>): Promise<Traced[]> {
  const found = new Map<string, Traced>();
  for (const c of only) {
    const prepared = await c.prepare(gpu);
    try {
      for (const p of trace(gpu, prepared.run))
        found.set(`${productName(p)} n${p.geometry.batch}`, p);
      await gpu.sync();
    } finally {
      prepared.dispose();
    }
  }
  return [...found.values()];
}

/** One line that is written over; nothing where nobody looks. */
function reporter(out: NodeJS.WriteStream) {
  return (done: number, all: number, name: string) => {
    if (!out.isTTY) return;
    const text = done < all ? `${done}/${all} ${name}` : "";
    out.write(`\r\x1b[K${text.slice(0, (out.columns || 80) - 1)}`);
  };
}

const variantText = ({ variant, splits }: { variant: string; splits: number }) =>
  splits > 1 ? `${variant} /${splits}` : variant;

/** What was found: a line a product, then what failed. */
export function tuningTable(products: readonly Tuned[]): string {
  const rows = products.map(({ product, batch, default: usual, chosen }) => [
    batch > 1 ? `${product} n${batch}` : product,
    variantText(usual),
    chosen === null ? "nothing is right" : chosen === usual ? "=" : variantText(chosen),
    chosen?.ratio?.toFixed(2) ?? "",
  ]);
  const all = [["product", "default", "chosen", "ratio"], ...rows];
  const width = all[0]!.map((_, i) => Math.max(...all.map((row) => row[i]!.length)));
  const lines = all.map((row) =>
    row
      .map((cell, i) => cell.padEnd(width[i]!))
      .join("  ")
      .trimEnd(),
  );
  const failures = products.flatMap(({ product, tried }) =>
    tried
      .filter(({ failed }) => failed !== undefined)
      .map((t) => `FAILED: ${variantText(t)} for ${product}: ${t.failed}`),
  );
  return [...lines, ...failures].join("\n");
}

export const tune = command({
  name: "tune",
  summary: "find the fastest variants of the matrix kernels on this adapter",
  options: {
    filter: {
      type: "text",
      value: "REGEX",
      help: "the products of these cases of nfgrad bench (its convolutions and matmuls)",
    },
    quick: { type: "flag", help: "only bench's quick cases, fewer and shorter rounds" },
    margin: {
      type: "number",
      min: 0,
      help: "leave a default for what is faster by this part (0.03)",
    },
    out: { type: "text", value: "FILE", help: "where the table goes (tuning.json)" },
    json: {
      type: "text",
      value: "FILE",
      optional: true,
      help: "write all that was tried, too; without FILE to standard output",
    },
  },
  async run({ filter, quick = false, margin, out = "tuning.json", json, ...given }) {
    const only = cases({ quick, filter: filter === undefined ? USUAL : pattern(WHERE, filter) });
    if (only.length === 0)
      throw new OptionError(`${WHERE}: no case of nfgrad bench matches --filter '${filter}'`);
    checkFile(WHERE, "out", out);
    if (typeof json === "string") checkFile(WHERE, "json", json);
    // With --json alone standard output is the JSON, and nothing else.
    const say = json === true ? console.error : console.log;
    const work = async (gpu: Gpu) => {
      const traced = await productsOf(gpu, only);
      if (traced.length === 0)
        throw new OptionError(`${WHERE}: the cases of --filter '${filter}' run no products`);
      const onProgress = reporter(process.stderr);
      const options = { quick, onProgress, ...(margin !== undefined && { margin }) };
      const { table, products } = await run(gpu, traced, options);
      say(tuningTable(products));
      const report = `${JSON.stringify({ adapter: table.adapter, products }, null, 2)}\n`;
      if (json === true) process.stdout.write(report);
      else if (json) await write(json, report);
      await write(out, `${JSON.stringify(table, null, 2)}\n`);
      say(`${table.products.length} products: ${out}`);
      if (products.some(({ tried }) => tried.some(({ failed }) => failed !== undefined)))
        process.exitCode = 1;
    };
    await withGpu(given, work, say);
  },
});
