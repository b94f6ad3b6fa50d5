// `nfgrad bench`: times the kernels on this adapter. What is timed and how is bench/.
import { existsSync, readFileSync } from "node:fs";
import type { Case } from "../../bench/case.ts";
import { cases } from "../../bench/cases.ts";
import {
  type Comparison,
  compare,
  comparisonMarkdown,
  comparisonTable,
  readReport,
} from "../../bench/compare.ts";
import { withReport } from "../../bench/document.ts";
import { firstCalls, oneOfEach } from "../../bench/firstCalls.ts";
import { rooflineSvg } from "../../bench/plot.ts";
import {
  closing,
  compilingTable,
  firstCallTable,
  heading,
  markdown,
  table,
  toJson,
} from "../../bench/report.ts";
import { adapterOf, type Report } from "../../bench/row.ts";
import { type Progress, report } from "../../bench/run.ts";
import { OptionError } from "../errors.ts";
import { readFile, writeFile } from "../platform/node/index.ts";
import type { AdapterKind } from "../platform/types.ts";
import { withGpu } from "./adapter.ts";
import { checkFile, command, pattern } from "./args.ts";
import { coldAndWarmCalls } from "./firstCalls.ts";
import { versions } from "./info.ts";
import { duration } from "./progress.ts";

const WHERE = "nfgrad bench";

const write = (file: string, text: string) => writeFile(file, [new TextEncoder().encode(text)]);

/** One line that is written over, with the time that is left; nothing where nobody looks. */
function reporter(out: NodeJS.WriteStream): (progress: Progress) => void {
  let started = Number.NaN;
  return ({ done, total, part, name }) => {
    if (!out.isTTY) return;
    if (!(part > 0)) started = performance.now(); // the first case, or the first of the child processes
    const seconds = (performance.now() - started) / 1000;
    const left =
      part > 0.02 && seconds > 2 ? `${duration((seconds * (1 - part)) / part)} left` : "";
    const text = [`${done}/${total}`, left, name].filter(Boolean).join("  ");
    out.write(`\r\x1b[K${part < 1 ? text.slice(0, (out.columns || 80) - 1) : ""}`);
  };
}

/** The heading in two columns; the adapter and its driver stand above it since the start. */
function headingText(report: Report): string {
  const lines = heading(report).filter(([name]) => name !== "adapter" && name !== "driver");
  const width = Math.max(...lines.map(([name]) => name.length)) + 2;
  return lines.map(([name, text]) => name.padEnd(width) + text).join("\n");
}

/** The document to write into; null text: a new one. */
function openDocument(file: string): Outputs["document"] {
  const text = existsSync(file) ? readFileSync(file, "utf8") : null;
  withReport(text, "", file); // throws if there is no place in it
  return { file, text };
}

const openReport = async (file: string) =>
  readReport(new TextDecoder().decode(await readFile(file)), file);

interface CompileOptions {
  readonly json?: string | true;
  readonly adapter?: AdapterKind;
  readonly tuning?: string;
}

/** `--compile`: first calls alone. */
async function compileOnly(
  only: readonly Case[],
  { json, adapter, tuning }: CompileOptions,
  say: (text: string) => void,
  onProgress: (progress: Progress) => void,
): Promise<void> {
  const work = async (gpu: Parameters<typeof report>[0]) => {
    const calls = await firstCalls(gpu, only, onProgress);
    say(firstCallTable(calls));
    const text = `${JSON.stringify({ adapter: adapterOf(gpu.info), calls }, null, 2)}\n`;
    if (json === true) process.stdout.write(text);
    else if (json) await write(json, text);
  };
  await withGpu({ adapter, tuning }, work, say);
}

/** Of one or two kernels: what `--quick` has time to compile twice. */
const compilesFast = ({ name }: Case, rows: Report["rows"]): boolean =>
  rows.some((row) => row.name === name && row.kernels.length >= 1 && row.kernels.length <= 2);

interface Outputs {
  readonly json: string | true | undefined;
  readonly document: { readonly file: string; readonly text: string | null } | null;
  readonly roofline: string | undefined;
}

async function writeAll(report: Report, comparison: Comparison | null, outputs: Outputs) {
  const { json, document, roofline } = outputs;
  if (json === true) process.stdout.write(toJson(report));
  else if (json) await write(json, toJson(report));
  if (document) {
    const body = comparison
      ? `${markdown(report)}\n#### compared\n\n${comparisonMarkdown(comparison)}`
      : markdown(report);
    await write(document.file, withReport(document.text, body, document.file));
  }
  if (roofline !== undefined) await write(roofline, rooflineSvg(report));
}

export const bench = command({
  name: "bench",
  summary: "verify and time the kernels, against the adapter's own peak",
  options: {
    filter: { type: "text", value: "REGEX", help: "only cases whose name matches" },
    quick: { type: "flag", help: "fewer cases and rounds: about a minute" },
    against: {
      type: "text",
      choices: ["reference"],
      value: "reference",
      help: "time the plain composition beside each fused op that has one",
    },
    compare: { type: "text", value: "OLD.json", help: "ratios to an earlier run's --json" },
    json: {
      type: "text",
      value: "FILE",
      optional: true,
      help: "write the report as JSON, too; without FILE to standard output",
    },
    markdown: {
      type: "text",
      value: "FILE",
      help: "write it as Markdown, too, or between the marks of a document",
    },
    roofline: { type: "text", value: "FILE.svg", help: "draw intensity against GFLOP/s" },
    compile: { type: "flag", help: "time only what compiling costs first calls, in this process" },
  },
  async run(values) {
    const { filter, quick = false, against, json, adapter, tuning } = values;
    const only = cases({ quick, ...(filter !== undefined && { filter: pattern(WHERE, filter) }) });
    if (only.length === 0)
      throw new OptionError(`nfgrad bench: no case matches --filter '${filter}'`);
    if (typeof json === "string") checkFile(WHERE, "json", json);
    // With --json alone standard output is the JSON, and nothing else.
    const say = json === true ? console.error : console.log;
    const onProgress = reporter(process.stderr);
    if (values.compile) {
      for (const name of ["against", "compare", "markdown", "roofline"] as const)
        if (values[name] !== undefined)
          throw new OptionError(
            `nfgrad bench: --compile times no kernel, so --${name} says nothing`,
          );
      return compileOnly(oneOfEach(only), values, say, onProgress);
    }
    if (values.roofline !== undefined) checkFile(WHERE, "roofline", values.roofline);
    if (values.markdown !== undefined) checkFile(WHERE, "markdown", values.markdown);
    const document = values.markdown === undefined ? null : openDocument(values.markdown);
    const old = values.compare === undefined ? null : await openReport(values.compare);
    const work = async (gpu: Parameters<typeof report>[0]) => {
      const told = { ...versions(), ...(tuning !== undefined && { "tuning table": tuning }) };
      const options = { quick, onProgress, versions: told, ...(against && { against }) };
      const timed = await report(gpu, only, options);
      const chosen = oneOfEach(only).filter((c) => !quick || compilesFast(c, timed.rows));
      const where = { adapter: gpu.info.kind, tuning };
      const compiling = await coldAndWarmCalls(chosen, where, onProgress).catch((error: Error) => {
        console.error(`error: ${error.message}`); // the times are worth having without it
        process.exitCode = 1;
        return [];
      });
      const done: Report = { ...timed, compiling };
      const width = process.stdout.isTTY && json !== true ? process.stdout.columns : undefined;
      const comparison = old && compare(old, done);
      say(`${headingText(done)}\n\n${table(done.rows, { width })}\n`);
      if (compiling.length > 0) say(`${compilingTable(compiling)}\n`);
      if (comparison) say(`compared with ${values.compare}\n${comparisonTable(comparison)}\n`);
      say(closing(done).join("\n"));
      await writeAll(done, comparison, { json, document, roofline: values.roofline });
      if (done.rows.some(({ failed }) => failed !== undefined)) process.exitCode = 1;
    };
    await withGpu({ adapter, tuning }, work, say);
  },
});
