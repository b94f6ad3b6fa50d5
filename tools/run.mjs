// Runs a TypeScript program of this checkout, such as parity/resume.ts, from the repository's root:
//
//   node tools/run.mjs FILE.ts [ARGUMENT...]
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { prepare } from "./prepare.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const [file, ...args] = process.argv.slice(2);
if (!file) throw new Error("node tools/run.mjs FILE.ts [ARGUMENT...]");
process.env.NFGRAD_ADAPTER ||= "software";
prepare();
// Below node_modules, so that packages are found.
const program = join(root, `node_modules/.cache/nfgrad/run-${process.pid}.mjs`);
const asText = (b) =>
  b.onLoad({ filter: /\.wgsl$/ }, ({ path }) => ({
    contents: readFileSync(path, "utf8"),
    loader: "text",
  }));
try {
  await build({
    absWorkingDir: root,
    entryPoints: [file],
    outfile: program,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    packages: "external",
    alias: { "#platform": join(root, "src/platform/node/index.ts") },
    plugins: [{ name: "wgsl", setup: asText }],
  });
  process.exitCode = spawnSync(process.execPath, [program, ...args], {
    cwd: root,
    stdio: "inherit",
  }).status;
} finally {
  rmSync(program, { force: true });
}
