// What the structure test holds the source to, as functions over files: layers, names, sizes. Reads the tree, runs nothing.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../", import.meta.url));

/** Every file below the folders, from the root, with one of the endings. */
export function files(folders: readonly string[], ...endings: string[]): string[] {
  const out: string[] = [];
  const walk = (path: string): void => {
    if (!existsSync(path)) return;
    if (statSync(path).isFile()) out.push(relative(root, path));
    else
      for (const name of readdirSync(path).sort())
        if (name !== "node_modules" && !name.startsWith(".")) walk(join(path, name));
  };
  for (const folder of folders) walk(join(root, folder));
  return out.filter((f) => endings.some((e) => f.endsWith(e)));
}
export const read = (file: string): string => readFileSync(join(root, file), "utf8");
/** The text without comments and strings, so that prose cannot trip a rule. */
export const code = (file: string): string =>
  read(file).replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g, (m) =>
    m.startsWith('"') ? '""' : m.replace(/[^\n]/g, " "),
  );

export interface Import {
  readonly from: string;
  /** From the root for relative ones, else the package. */
  readonly to: string;
  readonly typesOnly: boolean;
  /** Named imports as they are called where they come from. */
  readonly names: readonly string[];
}
export function importsOf(file: string): Import[] {
  const text = read(file).replace(/\/\*[\s\S]*?\*\/|^\s*\/\/[^\n]*/gm, "");
  const found = text.matchAll(
    /(?:^|[\s;])(?:import|export)\s+(type\s+)?(?:([^;"'()]*?)\s+from\s+)?"([^"]+)"|\bimport\(\s*(?:\/\*[^*]*\*\/\s*)?"([^"]+)"\s*\)/g,
  );
  return [...found].map(([, type, what = "", plain, dynamic]) => {
    const target = plain ?? dynamic!;
    const to = target.startsWith(".") ? relative(root, join(root, dirname(file), target)) : target;
    const inner = /\{([^}]*)\}/.exec(what)?.[1] ?? "";
    const listed = inner
      .split(",")
      .map((n) => n.trim())
      .filter(Boolean);
    const typesOnly =
      type !== undefined || (listed.length > 0 && listed.every((n) => n.startsWith("type ")));
    const names = listed.map((n) => n.replace(/^type\s+/, "").replace(/\s+as\s+\w+$/, ""));
    return { from: file, to, typesOnly, names };
  });
}

/** Rooms from left to right; imports point left, or stay in the room. */
const rooms: readonly (readonly string[])[] = [
  ["src/errors.ts"],
  ["src/platform"],
  ["src/gpu"],
  ["src/core"],
  ["src/ops"],
  ["src/nn", "src/optim", "src/io"],
  ["src/train", "src/index.ts"],
  ["parity", "bench"],
  ["src/cli"],
];
export function roomOf(file: string): { rank: number; room: string } | null {
  for (const [rank, names] of rooms.entries())
    for (const room of names)
      if (file === room || file.startsWith(`${room}/`)) return { rank, room };
  return null;
}

/** Why an import may not be, or null. */
export function layeringFault(i: Import): string | null {
  const to = i.to === "#platform" ? "src/platform/node/index.ts" : i.to;
  if (to.endsWith(".wgsl")) return null;
  const [a, b] = [roomOf(i.from), roomOf(to)];
  if (!a) return null;
  if (/^(node:|[^./#])/.test(i.to) && !b) return null; // packages and node: are other rules
  if (!b) return `${i.from} imports ${i.to}, which is in no room`;
  if (a.room === b.room) return null;
  if (b.rank < a.rank) {
    const publicOnly = a.room === "parity" || a.room === "bench";
    if (publicOnly && b.room !== "src/index.ts")
      return `${i.from} imports ${i.to}; ${a.room} stands on src/index.ts like any user`;
    return null;
  }
  if (b.rank === a.rank && i.typesOnly) return null; // io reads a model's names, optim its groups: types alone
  return `${i.from} imports ${i.to}: ${a.room} may not see ${b.room}`;
}

/** The names that a module exports, `export * from` included. */
export function exportsOf(file: string, seen = new Set<string>()): Set<string> {
  const out = new Set<string>();
  if (seen.has(file)) return out;
  seen.add(file);
  const text = read(file).replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, "");
  const declared =
    /^export\s+(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?(?:const|function\*?|class|interface|type|let|enum)\s+(\w+)/gm;
  for (const m of text.matchAll(declared)) out.add(m[1]!);
  for (const m of text.matchAll(/^export\s+(?:type\s+)?\{([^}]*)\}/gm))
    for (const n of m[1]!.split(","))
      if (n.trim())
        out.add(
          n
            .trim()
            .replace(/^type\s+/, "")
            .split(/\s+as\s+/)[0]!,
        );
  for (const m of text.matchAll(
    /^export\s+(?:type\s+)?\*\s+(?:as\s+(\w+)\s+)?from\s+"([^"]+)"/gm,
  )) {
    if (m[1]) out.add(m[1]);
    const target = relative(root, join(root, dirname(file), m[2]!));
    if (existsSync(join(root, target))) for (const n of exportsOf(target, seen)) out.add(n);
  }
  return out;
}

/** Top-level names of a WGSL text, without comments. */
const declared = (text: string): string[] =>
  [...text.matchAll(/^(?:@\w+(?:\([^)]*\))?\s*)*(?:fn|const|alias|override|struct)\s+(\w+)/gm)].map(
    (m) => m[1]!,
  );
const plain = (text: string): string => text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, "");

/**
 * A .wgsl text with what it uses of shaders/lib, and the extension that it needs, so that it compiles by itself. Where
 * two shared texts declare the same names, the one that a comment names is taken.
 */
export function composed(file: string): string {
  let text = read(file);
  const libs = files(["shaders/lib"], ".wgsl")
    .map((f) => ({ source: read(f), named: text.includes(f.replace("shaders/", "")) }))
    .sort((a, b) => Number(b.named) - Number(a.named));
  for (let grown = true; grown; ) {
    grown = false;
    for (const { source, named } of libs) {
      const own = new Set(declared(plain(text)));
      const theirs = declared(plain(source));
      if (theirs.some((n) => own.has(n))) continue;
      const uses = (n: string) =>
        new RegExp(`\\b${n}\\b${named ? "" : "\\s*\\("}`).test(plain(text));
      if (!theirs.some(uses)) continue;
      text += `\n${source}`;
      grown = true;
    }
  }
  return /\bsubgroup\w+\s*\(/.test(text) ? `enable subgroups; ${text}` : text;
}
export { basename };
