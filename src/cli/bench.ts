// `nfgrad bench`: times the kernels on this adapter. What is timed and how is bench/.
import { cases } from "../../bench/cases.ts";
import { markdown, peakLine, table, toJson } from "../../bench/report.ts";
import { roofline } from "../../bench/roofline.ts";
import { run } from "../../bench/run.ts";
import { OptionError } from "../errors.ts";
import { writeFile } from "../platform/node/index.ts";
import { withGpu } from "./adapter.ts";
import { command } from "./args.ts";

function pattern(filter: string): RegExp {
  try {
    return new RegExp(filter);
  } catch (cause) {
    throw new OptionError(`nfgrad bench: --filter: ${(cause as Error).message}`, { cause });
  }
}

const write = (file: string, text: string) => writeFile(file, [new TextEncoder().encode(text)]);

export const bench = command({
  name: "bench",
  summary: "verify and time the kernels, against the adapter's own peak",
  options: {
    filter: { type: "text", value: "REGEX", help: "only cases whose name matches" },
    quick: { type: "flag", help: "fewer cases and rounds: about a minute" },
    json: { type: "text", value: "FILE", optional: true, help: "the report as JSON (bench.json)" },
    markdown: { type: "text", value: "FILE", help: "write the report as Markdown, too" },
  },
  async run({ filter, quick = false, json, markdown: document, adapter }) {
    const only = cases({ quick, ...(filter !== undefined && { filter: pattern(filter) }) });
    if (only.length === 0)
      throw new OptionError(`nfgrad bench: no case matches --filter '${filter}'`);
    await withGpu(adapter, async (gpu) => {
      const out = process.stdout;
      const peak = await roofline(gpu);
      console.log(peakLine(peak));
      const rows = await run(gpu, only, {
        peak,
        quick,
        onProgress(done, all, name) {
          if (out.isTTY) out.write(`\r\x1b[K${done < all ? `${done}/${all} ${name}` : ""}`);
        },
      });
      console.log(table(rows));
      const { kind, vendor, architecture, device, description } = gpu.info;
      const report = { adapter: { kind, vendor, architecture, device, description }, peak, rows };
      if (json) await write(json === true ? "bench.json" : json, toJson(report));
      if (document) await write(document, markdown(report));
      if (rows.some(({ failed }) => failed)) process.exitCode = 1;
    });
  },
});
