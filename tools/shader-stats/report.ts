// What the statistics mean: a tile's share of multiply-adds, the floors that hold, and the tables of docs/kernels.md.
import { type Mix, type Shader, wholeTurn } from "./aco.ts";
import type { Compiled, Job } from "./compile.ts";
import { type TileCase, tileCases } from "./tiles.ts";

/** A tile's step (DEPTH of k): instructions of the whole loop, and of its innermost multiply loop. */
interface Step {
  readonly whole: Mix;
  /** Null where the loop over a step's k is unrolled. */
  readonly inner: Mix | null;
}

/** Throws where the compiled loop does not make the multiply-adds of one step: then it was read wrongly. */
function stepOf({ loops }: Shader, { label, variant }: TileCase): Step {
  const { rows, quads, depth } = variant;
  const wanted = rows * quads * 4 * depth;
  // The loop over k is unrolled, or a loop inside: a quad of k a turn.
  for (const loop of loops)
    for (const turns of [1, depth / 4]) {
      const whole = wholeTurn(loop, turns);
      const inner = loop.inner.find((l) => l.mix.fma > 0)?.mix ?? null;
      if (whole.fma === wanted) return { whole, inner };
    }
  const found = loops.map((l) => `${l.header}: ${wholeTurn(l, depth / 4).fma}`).join(", ");
  throw new Error(
    `shader-stats: ${label}: no loop of ${wanted} multiply-adds (${found || "none"})`,
  );
}

const share = ({ fma, valu }: Mix) => (100 * fma) / valu;

const shown = (mix: Mix) => share(mix).toFixed(1);

interface Floor {
  /** Percent of multiply-adds in all vector arithmetic of the whole loop. */
  readonly share: Readonly<Record<TileCase["pass"], number>>;
  readonly vgprs: number;
  readonly waves: number;
}
const FLOOR_FAMILY = "navi21";
const FLOORS: Readonly<Record<string, Floor>> = {
  "128x128": { share: { forward: 88, data: 88, weight: 86 }, vgprs: 168, waves: 3 },
  "64x64": { share: { forward: 74, data: 74, weight: 74 }, vgprs: 80, waves: 6 },
  "32x32": { share: { forward: 74, data: 74, weight: 74 }, vgprs: 128, waves: 4 },
};
/** WebGPU's default limit: every tile runs on every adapter. */
const LDS_BYTES = 16384;

/** Each floor that is broken, in a sentence. */
export function faults(jobs: readonly Job[], all: readonly Compiled[]): string[] {
  const found: string[] = [];
  for (const { family, shaders } of all) {
    shaders.forEach(({ stats }, i) => {
      const where = `${jobs[i]!.label} on ${family}`;
      if (stats.spills > 0) found.push(`${where}: ${stats.spills} registers spilled, expected 0`);
      if (stats.scratchBytes > 0)
        found.push(`${where}: ${stats.scratchBytes} bytes of scratch memory, expected 0`);
      if (stats.ldsBytes > LDS_BYTES)
        found.push(`${where}: ${stats.ldsBytes} bytes of workgroup memory, at most ${LDS_BYTES}`);
    });
    if (family !== FLOOR_FAMILY) continue;
    for (const { tile, shader } of tilesOf(jobs, shaders)) {
      const floor = FLOORS[tile.tile];
      const where = `${tile.label} on ${family}`;
      if (!floor) {
        found.push(`${where}: this tile has no floor`);
        continue;
      }
      const reached = share(stepOf(shader, tile).whole);
      const least = floor.share[tile.pass];
      if (reached < least)
        found.push(`${where}: ${reached.toFixed(1)} % multiply-adds, at least ${least} %`);
      const { vgprs, waves } = shader.stats;
      if (vgprs > floor.vgprs) found.push(`${where}: ${vgprs} VGPRs, at most ${floor.vgprs}`);
      if (waves < floor.waves) found.push(`${where}: ${waves} waves, at least ${floor.waves}`);
    }
  }
  return found;
}

/** The tiles among what was compiled. */
const tilesOf = (jobs: readonly Job[], shaders: readonly Shader[]) =>
  tileCases().flatMap((tile) => {
    const i = jobs.findIndex((job) => job.label === tile.label);
    return i < 0 ? [] : [{ tile, shader: shaders[i]! }];
  });

type Table = readonly (readonly string[])[];

/** A row a tile, pass and layer; for each family the share (of the inner loop, where there is one), VGPRs and waves. */
export function tileTable(jobs: readonly Job[], all: readonly Compiled[]): Table {
  const head = ["layer", "tile", "pass", "LDS KiB"];
  const columns = all.flatMap(({ family }) => [`${family}: FMA %`, "VGPRs", "waves"]);
  const first = tilesOf(jobs, all[0]!.shaders);
  const rows = first.map(({ tile, shader }, i) => {
    const own = all.flatMap(({ shaders }) => {
      const other = tilesOf(jobs, shaders)[i]!.shader;
      const { whole, inner } = stepOf(other, tile);
      const { vgprs, waves } = other.stats;
      const percent = inner ? `${shown(whole)} (${shown(inner)})` : shown(whole);
      return [percent, `${vgprs}`, `${waves}`];
    });
    const lds = String(shader.stats.ldsBytes / 1024);
    return [tile.layer, tile.tile, tile.pass, lds, ...own];
  });
  return [[...head, ...columns], ...rows];
}

/** A row an entry point: the range over its variants. */
export function kernelTable(jobs: readonly Job[], all: readonly Compiled[]): Table {
  const tiles = new Set(tileCases().map((t) => t.label));
  const labels = [...new Set(jobs.map((job) => job.label))].filter((l) => !tiles.has(l)).sort();
  const columns = all.flatMap(({ family }) => [`${family}: VGPRs`, "waves"]);
  const range = (values: readonly number[]) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return low === high ? `${low}` : `${low}-${high}`;
  };
  const rows = labels.map((label) => {
    const of = ({ shaders }: Compiled) => shaders.filter((_, i) => jobs[i]!.label === label);
    const stats = all.map((c) => of(c).map((s) => s.stats));
    const own = stats.flatMap((s) => [range(s.map((v) => v.vgprs)), range(s.map((v) => v.waves))]);
    const lds = range(stats[0]!.map((s) => s.ldsBytes));
    return [label.replace(/^shaders\//, ""), String(stats[0]!.length), lds, ...own];
  });
  return [["kernel", "variants", "LDS bytes", ...columns], ...rows];
}

export function asText(table: Table): string {
  const widths = table[0]!.map((_, i) => Math.max(...table.map((row) => row[i]!.length)));
  return table
    .map((row) =>
      row
        .map((c, i) => c.padEnd(widths[i]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

export function asMarkdown(table: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rule = table[0]!.map((_, i) => (i === 0 ? "---" : "---:"));
  return [line(table[0]!), line(rule), ...table.slice(1).map(line)].join("\n");
}

/** The document with `content` between its marks of that name. Throws if they are not there. */
export function between(document: string, name: string, content: string): string {
  const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
  const [from, to] = [document.indexOf(begin), document.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`the document has no lines ${begin} and ${end}`);
  return `${document.slice(0, from)}${begin}\n\n${content}\n\n${document.slice(to)}`;
}
