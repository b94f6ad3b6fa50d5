// `nfgrad parity`: compares the engine with numbers that the reference made. The comparison is parity/.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { withReport } from "../../parity/document.ts";
import { type Goldens, openGoldens } from "../../parity/goldens.ts";
import { table, toJson } from "../../parity/report.ts";
import { choose, type Progress, run } from "../../parity/run.ts";
import { FormatError } from "../errors.ts";
import { writeFile } from "../platform/node/index.ts";
import { withGpu } from "./adapter.ts";
import { checkFile, command, pattern } from "./args.ts";

/** Exit statuses beside 0: a row fails; there is nothing to compare with. */
const FAILED = 1;
const NOTHING_TO_JUDGE = 2;

/** Where nobody sees a line that is written over, one this often. */
const PLAIN_EVERY_MS = 10_000;

/** The repository's own golden data; they are not part of the npm package. */
function ownGoldens(): string {
  const folder = fileURLToPath(new URL("../../parity/golden", import.meta.url));
  if (existsSync(folder)) return folder;
  throw new FormatError(
    "nfgrad parity: the golden data are in nfgrad's repository, not in its npm package: name a folder with --goldens",
  );
}

/** Cases that are done, on standard error. */
function reporter(out: NodeJS.WriteStream): (progress: Progress) => void {
  let last = performance.now();
  return ({ done, total, case: id }) => {
    const text = `${done}/${total} ${id}`.slice(0, (out.columns || 80) - 1);
    if (out.isTTY) return void out.write(`\r\x1b[K${done < total ? text : ""}`);
    if (performance.now() - last < PLAIN_EVERY_MS) return;
    last = performance.now();
    out.write(`${text}\n`);
  };
}

/** The goldens, if there is something in them to judge; null after saying why not. */
async function open(where: string | undefined, filter?: RegExp): Promise<Goldens | null> {
  try {
    const goldens = await openGoldens(where ?? ownGoldens());
    choose(goldens, filter);
    return goldens;
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : error}`);
    process.exitCode = NOTHING_TO_JUDGE;
    return null;
  }
}

export const parity = command({
  name: "parity",
  summary: "compare kernels, layers, models and training with DeepMind's JAX code",
  options: {
    goldens: { type: "text", value: "DIR", help: "folder of golden data (parity/golden)" },
    filter: { type: "text", value: "REGEX", help: "only cases whose name or category matches" },
    json: {
      type: "text",
      value: "FILE",
      optional: true,
      help: "write all rows to a file, too; without FILE to standard output",
    },
    report: { type: "text", value: "FILE", help: "write the results into this document, too" },
    all: { type: "flag", help: "show every output, not only each case" },
  },
  async run({ goldens: where, filter, json, report: document, all = false, adapter, tuning }) {
    const only = filter === undefined ? undefined : pattern("nfgrad parity", filter);
    if (typeof json === "string") checkFile("nfgrad parity", "json", json);
    const text = document === undefined ? "" : readFileSync(document, "utf8");
    const goldens = await open(where, only);
    if (!goldens) return;
    // With --json alone standard output is the JSON, and nothing else.
    const say = json === true ? console.error : console.log;
    const work = async (gpu: Parameters<typeof run>[0]) => {
      const onProgress = reporter(process.stderr);
      const report = await run(gpu, { goldens, filter: only, onProgress });
      say(table(report, { all }));
      if (json === true) process.stdout.write(toJson(report));
      else if (json) await writeFile(json, [new TextEncoder().encode(toJson(report))]);
      if (document !== undefined) {
        await writeFile(document, [new TextEncoder().encode(withReport(text, report))]);
      }
      if (report.summary.failed > 0) process.exitCode = FAILED;
    };
    await withGpu({ adapter, tuning }, work, say);
  },
});
