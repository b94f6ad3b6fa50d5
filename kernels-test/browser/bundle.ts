// Bundles the suite for a page and for a process, as build.mjs bundles the library: WGSL as text, the platform by alias.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BuildOptions, build, type Plugin } from "esbuild";
import { root } from "./browsers.ts";

const wgsl: Plugin = {
  name: "wgsl",
  setup(b) {
    b.onLoad({ filter: /\.wgsl$/ }, ({ path }) => ({
      contents: readFileSync(path, "utf8"),
      loader: "text",
    }));
  },
};

/** The list of all case modules in place of modules.ts. */
const modules: Plugin = {
  name: "modules",
  setup(b) {
    b.onLoad({ filter: /kernels-test\/browser\/modules\.ts$/ }, () => {
      const folders = ["cases", "core"] as const;
      const files = folders.flatMap((folder) =>
        readdirSync(join(root, "kernels-test", folder))
          .filter((f) => f.endsWith(".ts"))
          .sort()
          .map((file) => ({ folder, file })),
      );
      const imports = files.map((f, i) => `import * as m${i} from "../${f.folder}/${f.file}";`);
      const entries = (folder: string) =>
        files.map((f, i) => (f.folder === folder ? `${JSON.stringify(f.file)}: m${i},` : ""));
      const lists = folders.map((f) => `${f}: {${entries(f).join("")}},`);
      const contents = `${imports.join("\n")}\nexport const modules = {${lists.join("")}};`;
      return { contents, loader: "ts", resolveDir: join(root, "kernels-test/browser") };
    });
  },
};

const html = (script: string): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>nfgrad</title><link rel="icon" href="data:,"></head>
<body><script type="module" src="${script}"></script></body></html>
`;

export interface Bundle {
  /** Holds index.html, the page of the suite, and offMain.html, whose worker trains. */
  readonly folder: string;
  /** The program of a process. */
  readonly child: string;
  remove(): void;
}

/** Both bundles in a folder below node_modules, where packages are found. */
export async function bundle(): Promise<Bundle> {
  const folder = join(root, `node_modules/.cache/nfgrad/suite-${process.pid}`);
  const child = join(folder, "child.mjs");
  mkdirSync(folder, { recursive: true });
  const common = {
    absWorkingDir: root,
    bundle: true,
    format: "esm",
    plugins: [wgsl, modules],
    logLevel: "error",
  } satisfies BuildOptions;
  await build({
    ...common,
    entryPoints: ["page", "offMain", "worker"].map((name) => `kernels-test/browser/${name}.ts`),
    outdir: folder,
    platform: "browser",
    target: "es2022",
    alias: { "#platform": join(root, "src/platform/browser/index.ts") },
  });
  await build({
    ...common,
    entryPoints: ["kernels-test/browser/child.ts"],
    outfile: child,
    platform: "node",
    target: "node20",
    sourcemap: "inline",
    external: ["webgpu", "sharp", "mnist"],
    alias: { "#platform": join(root, "kernels-test/browser/presented.ts") },
  });
  writeFileSync(join(folder, "index.html"), html("page.js"));
  writeFileSync(join(folder, "offMain.html"), html("offMain.js"));
  return { folder, child, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
