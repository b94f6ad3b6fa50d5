// Measures how much memory loading a checkpoint takes: makes one of a published NFNet's size (default F6, 1.75 GB),
// loads it in a process of its own, then the same as .npz and as safetensors. The peak includes the parameters, which
// lie in the process on a software adapter.
//
//   node tools/measure-load.mjs [F0 ... F7+]
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { prepare } from "./prepare.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const variant = process.argv[2] ?? "F6";
process.env.NFGRAD_ADAPTER ||= "software";
prepare();
const program = join(root, "node_modules/.cache/nfgrad/measure-load.mjs"); // where `webgpu` is found
const folder = mkdtempSync(join(tmpdir(), "nfgrad-load-"));
const shader = (b) =>
  b.onLoad({ filter: /\.wgsl$/ }, ({ path }) => ({
    contents: readFileSync(path, "utf8"),
    loader: "text",
  }));
try {
  await build({
    absWorkingDir: root,
    entryPoints: ["kernels-test/host/measureLoad.ts"],
    outfile: program,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    packages: "external",
    alias: { "#platform": join(root, "src/platform/node/index.ts") },
    plugins: [{ name: "wgsl", setup: shader }],
  });
  const run = (task, ...files) => {
    const args = [program, task, variant, ...files.map((file) => join(folder, file))];
    const done = spawnSync(process.execPath, args, { stdio: "inherit" });
    if (done.status !== 0) throw new Error(`${task} ${files} failed`);
  };
  run("write", "a.pickle");
  run("load", "a.pickle", "b.npz");
  rmSync(join(folder, "a.pickle"));
  run("load", "b.npz", "c.safetensors");
  rmSync(join(folder, "b.npz"));
  run("load", "c.safetensors");
} finally {
  rmSync(folder, { recursive: true });
  rmSync(program, { force: true });
}
