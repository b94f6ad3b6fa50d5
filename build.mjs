// Builds dist/: a module for each source module (so that bundlers can drop what is unused), the type
// declarations, and one minified file for a plain browser page. Prints sizes.
//
//   node build.mjs              everything
//   node build.mjs --no-types   without declarations (fast; for running the command from a checkout)
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const root = dirname(fileURLToPath(import.meta.url));
const dist = join(root, "dist");
const types = !process.argv.includes("--no-types");
const entries = [
  "src/index.ts",
  "src/io/imagenet.ts",
  "parity/index.ts",
  "bench/index.ts",
  "src/cli/main.ts",
];
const external = ["webgpu", "sharp", "mnist"];

/** WGSL without comments but for the first line's file name; line breaks stay, so error lines stay true. */
function stripWgsl(source) {
  const name = /^\/\/ \S+\.wgsl:?/.exec(source)?.[0] ?? "";
  const blank = (comment) => comment.replace(/[^\n]/g, "");
  const code = source.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, blank).replace(/[ \t]+$/gm, "");
  return name + code;
}
/** And without indents and blanks, for the one file that is for size. */
const packWgsl = (source) =>
  stripWgsl(source)
    .replace(/[ \t]+/g, " ")
    .replace(/^ /gm, "")
    .replace(/ ?([=+*/<>(){}[\],;:&|]) ?/g, "$1");
const wgsl = (text) => ({
  name: "wgsl",
  setup(b) {
    b.onLoad({ filter: /\.wgsl$/ }, ({ path }) => ({
      contents: text(readFileSync(path, "utf8")),
      loader: "text",
    }));
  },
});

/** Where a source file lies in dist/: src/ is its root, the other folders keep their names. */
const place = (file) =>
  relative(root, file)
    .split(sep)
    .join("/")
    .replace(/^src\//, "")
    .replace(/(\.d)?\.ts$/, "")
    .replace(/\.wgsl$/, ".wgsl");
const between = (from, to) => {
  const path = relative(dirname(place(from)), place(to))
    .split(sep)
    .join("/");
  return path.startsWith(".") ? path : `./${path}`;
};

/** Every import becomes the import of the module in dist/. */
const asModules = {
  name: "as-modules",
  setup(b) {
    b.onResolve({ filter: /./ }, ({ path, importer, kind }) => {
      if (kind === "entry-point") return undefined;
      if (!path.startsWith(".")) return { path, external: true };
      return { path: `${between(importer, resolve(dirname(importer), path))}.js`, external: true };
    });
  },
};

async function modules() {
  const common = {
    bundle: true,
    format: "esm",
    write: false,
    absWorkingDir: root,
    logOverride: { "import-is-undefined": "error" },
  };
  const seen = new Set();
  for (const platform of ["node", "browser"]) {
    const inputs = platform === "node" ? entries : ["src/index.ts"];
    const found = await build({
      ...common,
      entryPoints: inputs,
      platform,
      external,
      metafile: true,
      outdir: dist,
      plugins: [wgsl(stripWgsl), aliased(platform)],
    });
    for (const file of Object.keys(found.metafile.inputs)) seen.add(file);
  }
  await build({
    ...common,
    write: true,
    entryPoints: [...seen].map((file) => ({ in: file, out: place(join(root, file)) })),
    outdir: dist,
    platform: "neutral",
    target: "es2022",
    plugins: [wgsl(stripWgsl), asModules],
  });
}

/** `#platform` means the source here; package.json points it at dist/ for users. */
const aliased = (platform) => ({
  name: "platform",
  setup(b) {
    b.onResolve({ filter: /^#platform$/ }, () => ({
      path: join(root, "src/platform", platform, "index.ts"),
    }));
  },
});

async function browserFile() {
  await build({
    entryPoints: [join(root, "src/index.ts")],
    bundle: true,
    minify: true,
    sourcemap: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    outfile: join(dist, "nfgrad.browser.min.js"),
    plugins: [wgsl(packWgsl), aliased("browser")],
  });
}

function declarations() {
  const out = join(dist, ".types");
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  try {
    execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", out], {
      cwd: root,
      encoding: "utf8",
    });
  } catch (error) {
    throw new Error(`tsc: ${error.stdout}`);
  }
  for (const entry of readdirSync(out, { recursive: true, withFileTypes: true })) {
    if (!/(?<!\.test)\.d\.ts$/.test(entry.name)) continue;
    const from = join(entry.parentPath, entry.name);
    const source = join(root, relative(out, from));
    const text = readFileSync(from, "utf8").replace(
      /((?:from|import)\s*\(?\s*")(\.[^"]+)\.ts"/g,
      (_, before, path) =>
        `${before}${between(source, resolve(dirname(source), `${path}.ts`))}.js"`,
    );
    const to = join(dist, `${place(source)}.d.ts`);
    mkdirSync(dirname(to), { recursive: true });
    const reference = place(source) === "index" ? '/// <reference types="@webgpu/types" />\n' : "";
    writeFileSync(to, reference + text);
  }
  rmSync(out, { recursive: true });
  writeFileSync(join(dist, "nfgrad.browser.min.d.ts"), 'export * from "./index.js";\n');
}

function sizes() {
  let [files, bytes, declared] = [0, 0, 0];
  for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || /\.map$|\.min\.js$/.test(entry.name)) continue;
    const { length } = readFileSync(join(entry.parentPath, entry.name));
    if (entry.name.endsWith(".d.ts")) declared += length;
    else [files, bytes] = [files + 1, bytes + length];
  }
  const kb = (n) => `${(n / 1024).toFixed(1)} KB`;
  console.log(`dist: ${files} modules, ${kb(bytes)}; declarations ${kb(declared)}`);
  const min = readFileSync(join(dist, "nfgrad.browser.min.js"));
  console.log(`dist/nfgrad.browser.min.js: ${kb(min.length)}, gzip ${kb(gzipSync(min).length)}`);
}

rmSync(dist, { recursive: true, force: true });
await modules();
await browserFile();
if (types) declarations();
sizes();
