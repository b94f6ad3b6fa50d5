// What a recorded function keeps of a call, and how two calls are compared. Making and replaying it is record.ts.
import { RecordError } from "../errors.ts";
import type { Command, Upload } from "../gpu/commands.ts";
import type { Scope, Storage, Tensor } from "./tensor.ts";

/** One list of commands, for one set of argument shapes. */
export interface Recording {
  readonly inputs: readonly Tensor[];
  /** Uploads of host data inside the function: done once. */
  readonly constants: readonly Upload[];
  readonly commands: readonly Command[];
  readonly result: unknown;
  readonly externals: ReadonlySet<Storage>;
  readonly scope: Scope;
  checked: boolean;
}

/**
 * The commands without those whose results nothing reads: the forward pass of a gradient whose value is not returned.
 * `roots`: what a caller can see, which is the result and all memory from outside. Memory that was written in parts is
 * never taken for dead before its last reader.
 */
export function withoutUnread(
  commands: readonly Command[],
  roots: Iterable<object>,
): readonly Command[] {
  const live = new Set(roots);
  const kept: Command[] = [];
  for (const c of [...commands].reverse()) {
    if (c.kind === "draw") {
      if (!live.delete(c.image)) continue; // drawn for one dispatch, which was left out
    } else if ("writes" in c && !c.writes.some((w) => live.has(w))) continue;
    kept.push(c);
    if ("writes" in c) for (const w of c.writes) live.add(w);
    if ("reads" in c) for (const r of c.reads) live.add(r);
  }
  return kept.reverse();
}

const shown = (c: Command | undefined): string => {
  if (!c) return "nothing";
  if (c.kind === "dispatch") return `${c.label} ${c.params} grid ${c.grid}`;
  const bytes = c.kind === "draw" ? 16 * c.quads : "bytes" in c ? c.bytes : null;
  return `${c.kind}${bytes === null ? "" : ` of ${bytes} bytes`}`;
};

/** @throws RecordError where two runs of one function asked for different things. */
export function compare(label: string, a: Recording, b: Recording): void {
  const differs = (what: string) =>
    new RecordError(`${label}: ${what}; what changes from call to call must be an argument`);
  for (let i = 0; i < Math.max(a.commands.length, b.commands.length); i++) {
    const [x, y] = [a.commands[i], b.commands[i]];
    if (shown(x) !== shown(y)) {
      throw differs(
        `command ${i} was '${shown(x)}' in the first call and is '${shown(y)}' in the second`,
      );
    }
    const captured = (c: Command) => ("captured" in c ? c.captured : "");
    if (x && y && captured(x) !== captured(y)) {
      throw differs(`command ${i}, '${shown(x)}', uses another captured tensor in the second call`);
    }
  }
  if (a.constants.length !== b.constants.length) {
    throw differs(
      `it uploads host data ${a.constants.length} times in the first call, ${b.constants.length} in the second`,
    );
  }
  a.constants.forEach((c, i) => {
    const [x, y] = [words(c), words(b.constants[i]!)];
    const at = x.findIndex((v, j) => v !== y[j]);
    if (x.length === y.length && at < 0) return;
    const f32 = (v: Uint32Array, j: number) => new Float32Array(v.buffer, 4 * j, 1)[0];
    throw differs(
      x.length === y.length
        ? `host data ${i} differs at element ${at}: ${f32(x, at)} in the first call, ${f32(y, at)} in the second`
        : `host data ${i} has ${x.length} values in the first call, ${y.length} in the second`,
    );
  });
}

const words = ({ data }: Upload): Uint32Array<ArrayBuffer> =>
  new Uint32Array(data.buffer, data.byteOffset, data.byteLength / 4);
