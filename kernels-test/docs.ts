// From documents to programs. The ts blocks of one document are one program, in order, so that later blocks use what
// earlier ones made. Around a block an author may write, in HTML comments that readers do not see:
//   <!-- run: ... -->     code that runs at this place but is not shown (data, a gpu, a check of a result)
//   <!-- check: types --> the next block is type-checked, not run
//   <!-- check: alone --> the next block is a program of its own
// Beside the program lies the folder `goldens`: the committed ones.
// A wgsl block whose first line names its file (`// soft_cap.wgsl: ...`) can be imported as "./soft_cap.wgsl".
import { execFile } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export const root = fileURLToPath(new URL("../", import.meta.url));
const folder = join(root, "node_modules/.cache/nfgrad-docs");

export interface Document {
  /** From the root: `docs/memory.md`. */
  readonly name: string;
  readonly text: string;
}
export function documents(): Document[] {
  const docs = existsSync(join(root, "docs")) ? readdirSync(join(root, "docs")) : [];
  const names = ["README.md", ...docs.filter((f) => f.endsWith(".md")).map((f) => `docs/${f}`)];
  return names
    .filter((name) => existsSync(join(root, name)))
    .map((name) => ({ name, text: readFileSync(join(root, name), "utf8") }));
}

export interface Program {
  readonly name: string;
  readonly code: string;
  readonly runs: boolean;
  readonly file: string;
  readonly bundle: string;
  /** By file name. */
  readonly shaders: ReadonlyMap<string, string>;
}
interface Piece {
  readonly line: number;
  readonly code: string;
  readonly how: "run" | "types" | "alone";
}

function pieces(text: string): { ts: Piece[]; shaders: Map<string, string> } {
  const ts: Piece[] = [];
  const shaders = new Map<string, string>();
  let how: Piece["how"] = "run";
  const pattern = /<!--\s*(run|check):([\s\S]*?)-->|^[ \t]*```(\w*)[^\n]*\n([\s\S]*?)^[ \t]*```/gm;
  for (const m of text.matchAll(pattern)) {
    const line = text.slice(0, m.index).split("\n").length;
    const [, word, comment, language, code] = m;
    if (word === "run") ts.push({ line, code: comment!, how: "run" });
    else if (word === "check") {
      const value = comment!.trim();
      if (value !== "types" && value !== "alone")
        throw new Error(`line ${line}: check: is "types" or "alone", not "${value}"`);
      how = value;
    } else if (language === "ts" || language === "typescript") {
      ts.push({ line, code: code!, how });
      how = "run";
    } else if (language === "wgsl") {
      const file = /^\/\/\s*([\w./-]+\.wgsl)/.exec(code!)?.[1];
      if (file) shaders.set(basename(file), code!);
    }
  }
  return { ts, shaders };
}

/** Imports go to the top, one line each, the same name once. */
function assemble(document: string, list: readonly Piece[]): string {
  const imports = new Map<string, Set<string>>();
  const whole = new Set<string>();
  const body = list.map(({ line, code }) => {
    const rest = code.replace(
      /^import\s+(?:\{([^}]*)\}\s+from\s+"([^"]+)"|[^;{]*?"[^"]+");?[ \t]*(?:\/\/[^\n]*)?$/gm,
      (statement: string, names: string | undefined, from: string | undefined) => {
        if (names === undefined) whole.add(statement);
        else {
          const known = imports.get(from!) ?? new Set();
          for (const n of names.split(",")) if (n.trim()) known.add(n.trim());
          imports.set(from!, known);
        }
        return "";
      },
    );
    return `// ${document}:${line}\n${rest}`;
  });
  const head = [...imports].map(
    ([from, names]) => `import { ${[...names].join(", ")} } from "${from}";`,
  );
  return [...head, ...whole, ...body, "export {};", ""].join("\n");
}

export function programs(list: readonly Document[]): Program[] {
  return list.flatMap(({ name, text }) => {
    const { ts, shaders } = pieces(text);
    const slug = name.replace(/\W+/g, "_");
    const make = (suffix: string, chosen: readonly Piece[], runs: boolean): Program => ({
      name: suffix ? `${name}, block at line ${suffix}` : name,
      code: assemble(name, chosen),
      runs,
      file: `${slug}${suffix}.ts`,
      bundle: join(folder, slug, `${slug}${suffix}.mjs`),
      shaders,
    });
    const together = ts.filter((p) => p.how === "run");
    const out = together.length ? [make("", together, true)] : [];
    for (const p of ts.filter((q) => q.how !== "run"))
      out.push(make(`${p.line}`, [p], p.how === "alone"));
    return out;
  });
}

/** Writes and bundles each program; "nfgrad" is the source tree. */
export async function writePrograms(list: readonly Program[]): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  for (const p of list) {
    const own = join(folder, p.file.replace(/\d*\.ts$/, ""));
    mkdirSync(own, { recursive: true });
    for (const [file, text] of p.shaders) writeFileSync(join(own, file), text);
    if (!existsSync(join(own, "goldens")))
      symlinkSync(join(root, "parity/golden"), join(own, "goldens"));
    writeFileSync(join(own, p.file), p.code);
  }
  const entry = (name: string) => join(root, name);
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: entry("tsconfig.json"),
      compilerOptions: {
        paths: {
          nfgrad: [entry("src/index.ts")],
          "nfgrad/parity": [entry("parity/index.ts")],
          "nfgrad/bench": [entry("bench/index.ts")],
        },
        typeRoots: [entry("node_modules/@types"), entry("node_modules")],
      },
      include: ["./**/*.ts", entry("src/wgsl.d.ts")],
    }),
  );
  for (const p of list.filter((q) => q.runs))
    await build({
      entryPoints: [join(folder, p.file.replace(/\d*\.ts$/, ""), p.file)],
      outfile: p.bundle,
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20",
      sourcemap: "inline",
      logLevel: "silent",
      loader: { ".wgsl": "text" },
      external: ["webgpu"],
      alias: {
        nfgrad: entry("src/index.ts"),
        "nfgrad/parity": entry("parity/index.ts"),
        "nfgrad/bench": entry("bench/index.ts"),
      },
    });
}

/** What the compiler says about all programs, a line an error. */
export function typeErrors(): Promise<string> {
  return new Promise((resolve) =>
    execFile(
      process.execPath,
      [join(root, "node_modules/typescript/bin/tsc"), "-p", join(folder, "tsconfig.json")],
      (_, out) => resolve(out),
    ),
  );
}

/** The commands of sh blocks, without comments, prompts and output. */
export function shellLines(list: readonly Document[]): { document: string; line: string }[] {
  return list.flatMap(({ name, text }) =>
    [...text.matchAll(/^```(?:sh|bash|shell)\n([\s\S]*?)^```/gm)].flatMap((m) =>
      m[1]!
        .replace(/\\\n/g, " ")
        .split(/\n|&&/)
        .map((l) =>
          l
            .replace(/^\s*\$ /, "")
            .replace(/\s+#.*$/, "")
            .trim(),
        )
        .filter((l) => l && !l.startsWith("#"))
        .map((line) => ({ document: name, line })),
    ),
  );
}
