// `nfgrad parity`: compares the engine with numbers that the reference made. The comparison is parity/.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { table, toJson } from "../../parity/report.ts";
import { run } from "../../parity/run.ts";
import { FormatError, OptionError } from "../errors.ts";
import { writeFile } from "../platform/node/index.ts";
import { withGpu } from "./adapter.ts";
import { command } from "./args.ts";

/** The repository's own golden data; they are not part of the npm package. */
function ownGoldens(): string {
  const folder = fileURLToPath(new URL("../../parity/golden", import.meta.url));
  if (existsSync(folder)) return folder;
  throw new FormatError(
    "nfgrad parity: the golden data are in nfgrad's repository, not in its npm package: name a folder with --goldens",
  );
}

function pattern(filter: string): RegExp {
  try {
    return new RegExp(filter);
  } catch (cause) {
    throw new OptionError(`nfgrad parity: --filter: ${(cause as Error).message}`, { cause });
  }
}

export const parity = command({
  name: "parity",
  summary: "compare kernels, layers, models and training with DeepMind's JAX code",
  options: {
    goldens: { type: "text", value: "DIR", help: "folder of golden data (parity/golden)" },
    filter: { type: "text", value: "REGEX", help: "only cases whose name or category matches" },
    json: { type: "text", value: "FILE", help: "write the whole report to a file, too" },
    all: { type: "flag", help: "show every output, not only each case" },
  },
  async run({ goldens = ownGoldens(), filter, json, all, adapter }) {
    const only = filter === undefined ? {} : { filter: pattern(filter) };
    await withGpu(adapter, async (gpu) => {
      const out = process.stdout;
      const report = await run(gpu, {
        goldens,
        ...only,
        onProgress: ({ done, total, case: id }) => {
          if (out.isTTY) out.write(`\r\x1b[K${done < total ? `${done}/${total} ${id}` : ""}`);
        },
      });
      console.log(table(report, { all: all ?? false }));
      if (json) await writeFile(json, [new TextEncoder().encode(toJson(report))]);
      if (report.summary.failed > 0) process.exitCode = 1;
    });
  },
});
