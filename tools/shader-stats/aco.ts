// Reads what Mesa's RADV says about a compute shader: the statistics of RADV_DEBUG=shaderstats and the program that
// ACO_DEBUG=perfinfo prints. Text in, numbers out; it knows no kernels.

/** Registers, memory and occupancy of one shader. */
export interface Stats {
  readonly vgprs: number;
  readonly spills: number;
  readonly scratchBytes: number;
  readonly ldsBytes: number;
  /** Waves of 64 lanes that a SIMD holds at once, by registers and shared memory. */
  readonly waves: number;
  readonly codeBytes: number;
}

/** Instructions of some blocks, each counted once. */
export interface Mix {
  readonly fma: number;
  /** All vector arithmetic, multiply-adds included; a pair that issues together counts as two. */
  readonly valu: number;
  readonly salu: number;
  readonly vmem: number;
  readonly lds: number;
}

export interface Loop {
  readonly depth: number;
  readonly header: string;
  /** One turn without the loops inside it. */
  readonly mix: Mix;
  readonly inner: readonly Loop[];
}

export interface Shader {
  readonly stats: Stats;
  readonly loops: readonly Loop[];
  readonly assembly: string;
}

interface Instruction {
  readonly op: string;
  readonly args: string;
}
interface Block {
  readonly index: number;
  predecessors: number[];
  readonly instructions: Instruction[];
}

/** A shader's numbers, or null where the text holds none (another driver, or a pipeline out of a cache). */
export function readShader(text: string): Shader | null {
  const at = text.lastIndexOf("*** SHADER STATS ***");
  const start = text.lastIndexOf("After lowering to hw instructions:");
  if (at < 0 || start < 0) return null;
  const number = (name: string) => {
    const found = new RegExp(`^${name}: ([\\d.]+)`, "m").exec(text.slice(at));
    if (!found) throw new Error(`RADV's statistics have no '${name}'`);
    return Number(found[1]);
  };
  const waves = /^num_waves: (\d+)/m.exec(text.slice(start)); // RADV's own number counts 32 lanes
  if (!waves) throw new Error("ACO's report has no 'num_waves'");
  const assembly = text.slice(start).split("\nnum_waves:")[0]!;
  return {
    stats: {
      vgprs: number("VGPRs"),
      spills: number("Spilled VGPRs") + number("Spilled SGPRs"),
      scratchBytes: number("Scratch size"),
      ldsBytes: number("LDS size"),
      waves: Number(waves[1]),
      codeBytes: number("Code size"),
    },
    loops: loopsOf(blocksOf(assembly)),
    assembly,
  };
}

function blocksOf(assembly: string): Block[] {
  const blocks: Block[] = [];
  for (const line of assembly.split("\n")) {
    const head = /^BB(\d+)$/.exec(line);
    if (head) blocks.push({ index: Number(head[1]), predecessors: [], instructions: [] });
    const block = blocks.at(-1);
    if (!block) continue;
    const from = /linear preds: (.*?)\/ kind:/.exec(line);
    if (from) block.predecessors = [...from[1]!.matchAll(/BB(\d+)/g)].map((m) => Number(m[1]));
    const instruction = /^\t\(\s*\d+ clk\)\s+(?:.*? = )?(\w+)\b ?(.*)$/.exec(line);
    if (instruction) block.instructions.push({ op: instruction[1]!, args: instruction[2]! });
  }
  return blocks;
}

/** Natural loops: a header, and the blocks from which its back edges are reached without leaving it. */
function loopsOf(blocks: readonly Block[]): Loop[] {
  const place = new Map(blocks.map((b, i) => [b.index, i]));
  const found = blocks.flatMap((header) => {
    const later = (p: number) => place.get(p)! >= place.get(header.index)!;
    const own = new Set([header.index]);
    const queue = header.predecessors.filter(later);
    if (queue.length === 0) return [];
    for (let p = queue.pop(); p !== undefined; p = queue.pop()) {
      if (own.has(p)) continue;
      own.add(p);
      queue.push(...blocks[place.get(p)!]!.predecessors);
    }
    return [{ header: header.index, own }];
  });
  type Found = (typeof found)[number];
  const contains = (a: Found, b: Found) => a !== b && a.own.has(b.header);
  const make = (loop: Found): Loop => {
    const within = found.filter((l) => contains(loop, l));
    const alone = blocks.filter(
      ({ index }) => loop.own.has(index) && !within.some((l) => l.own.has(index)),
    );
    return {
      header: `BB${loop.header}`,
      depth: found.filter((l) => contains(l, loop)).length + 1,
      mix: mixOf(alone.flatMap((b) => b.instructions)),
      inner: within.filter((l) => !within.some((other) => contains(other, l))).map(make),
    };
  };
  return found.filter((l) => !found.some((other) => contains(other, l))).map(make);
}

const FMA = /^v_(dual_)?(fma|fmac|fmaak|fmamk|mad|mac|madak|madmk)_(legacy_)?f32/;

function mixOf(instructions: readonly Instruction[]): Mix {
  const mix = { fma: 0, valu: 0, salu: 0, vmem: 0, lds: 0 };
  for (const { op, args } of instructions) {
    if (/^(ds|lds)_/.test(op)) mix.lds++;
    else if (/^(buffer|global|flat|scratch|image)_/.test(op)) mix.vmem++;
    else if (op.startsWith("v_")) {
      // Two multiply-adds that issue together are printed on one line, and do the work of two.
      const second = /::\s*(?:[^=]*= )?(v_dual_\w+)/.exec(args)?.[1];
      const slots = second ? 2 : 1;
      mix.valu += slots;
      mix.fma += Number(FMA.test(op)) + Number(second !== undefined && FMA.test(second));
    } else if (/^s_(?!branch|cbranch|wait|delay|nop|clause|barrier|endpgm|inst_prefetch)/.test(op))
      mix.salu++;
  }
  return mix;
}

/** The sum of a loop's turn and of the turns of the loops inside it, `turns` of each. */
export function wholeTurn(loop: Loop, turns: number): Mix {
  const inner = loop.inner.map((l) => wholeTurn(l, 1));
  const sum = (key: keyof Mix) => inner.reduce((n, m) => n + turns * m[key], loop.mix[key]);
  return {
    fma: sum("fma"),
    valu: sum("valu"),
    salu: sum("salu"),
    vmem: sum("vmem"),
    lds: sum("lds"),
  };
}
