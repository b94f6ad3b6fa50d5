// Measures how much memory loading a checkpoint takes: makes one of a published NFNet's size (default F6, 1.75 GB),
// loads it in a process of its own, then the same as .npz and as safetensors. The peak includes the parameters, which
// lie in the process on a software adapter. A program, not a test:
//
//   node tools/run.mjs kernels-test/host/measureLoad.ts [F0 ... F7+]
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { io, nn, openGpu, tree } from "../../src/index.ts";
import { pickleOf, rampAt, treeOf } from "./pickleWriter.ts";

const [variant = "F6", task, path = "", copy] = process.argv.slice(2);
const model = nn.nfnet({ variant, numClasses: 1000 });
const shapes = Object.fromEntries(shapesOf(model.spec, ""));

function shapesOf(node: unknown, path: string): [string, readonly number[]][] {
  if (typeof node !== "object" || node === null) return [];
  if ("init" in node && "shape" in node) return [[path, node.shape as readonly number[]]];
  return Object.entries(node).flatMap(([key, sub]) => shapesOf(sub, path ? `${path}/${key}` : key));
}

async function write(): Promise<void> {
  const out = createWriteStream(path);
  for (const piece of pickleOf(treeOf({ names: model.names, shapes }), 4))
    if (!out.write(piece)) await once(out, "drain");
  out.end();
  await once(out, "finish");
}

async function load(): Promise<void> {
  const gpu = await openGpu();
  const start = process.resourceUsage().maxRSS * 1024;
  const params = gpu.init(model.spec, { zeros: true });
  await gpu.sync();
  const from = performance.now();
  await gpu.assign(params as object, await io.loadHaiku(await io.openFile(path), model));
  const seconds = (performance.now() - from) / 1000;
  const peak = process.resourceUsage().maxRSS * 1024; // before anything is read back
  let at = 0;
  for (const { path, tensor } of tree.leaves(params)) {
    const data = await tensor.data();
    for (const i of [0, tensor.size >> 1, tensor.size - 1])
      if (data[i] !== rampAt(at + i)) throw new Error(`${path}[${i}] is ${data[i]}`);
    at += tensor.size;
  }
  const size = statSync(path).size;
  const MB = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
  console.log(
    `${variant}, ${path.split(".").at(-1)} of ${MB(size)} with ${Object.keys(model.names).length} arrays: loads ` +
      `in ${seconds.toFixed(1)} s; peak of the process ${MB(peak)} = ${(peak / size).toFixed(3)} times the file ` +
      `(before loading ${MB(start)}; ${gpu.info.description}, ${gpu.info.kind})`,
  );
  if (copy) await io.writeHaiku(copy, params, model);
  await gpu.close();
}

function all(): void {
  const folder = mkdtempSync(join(tmpdir(), "nfgrad-load-"));
  const run = (task: string, ...files: string[]) => {
    const paths = files.map((file) => join(folder, file));
    const args = [process.argv[1]!, variant, task, ...paths];
    const { status } = spawnSync(process.execPath, args, { stdio: "inherit" });
    if (status !== 0) throw new Error(`${task} ${files} failed`);
  };
  try {
    run("write", "a.pickle");
    run("load", "a.pickle", "b.npz");
    rmSync(join(folder, "a.pickle"));
    run("load", "b.npz", "c.safetensors");
    rmSync(join(folder, "b.npz"));
    run("load", "c.safetensors");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (task === "write") await write();
else if (task === "load") await load();
else all();
