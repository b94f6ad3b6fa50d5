// A kernel: WGSL that is valid at rest, an entry point, and knobs that specialise it. Text only, no device here.
import { KernelError } from "../errors.ts";

export type KnobValue = number | boolean | string;

/** What `defineKernel` takes beside the source. */
export interface KernelOptions {
  /** The `@compute` function to run. */
  readonly entry: string;
  /** Values for top-level `override`, `const` and `alias` declarations of the source. */
  readonly knobs?: Readonly<Record<string, KnobValue>>;
  /** Texts of shared functions, appended after the source so that its line numbers stay exact. */
  readonly uses?: readonly string[];
  /** WGSL extensions, e.g. `["subgroups"]`. */
  readonly enables?: readonly string[];
  /** What to call this one of several that do the same, `tile 128x128x16 16x16`: for reports, changes nothing. */
  readonly variant?: string;
}

/** An image is a copy of a tensor in a storage texture: see images.ts. */
export type BindingKind = "uniform" | "read-only-storage" | "storage" | "image";
export interface Binding {
  readonly name: string;
  readonly slot: number;
  readonly kind: BindingKind;
}
export interface Param {
  readonly name: string;
  readonly type: "u32" | "i32" | "f32";
}
/** A line of one of the texts that a kernel is composed of. */
export interface SourceLine {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

/** A specialised kernel, made by `defineKernel`; the same on every device. */
export interface Kernel {
  /** `shaders/agc.wgsl:norms` */
  readonly label: string;
  /** What its maker calls it among others that do the same; null where there is only one. */
  readonly variant: string | null;
  readonly knobs: Readonly<Record<string, KnobValue>>;
  readonly code: string;
  readonly entry: string;
  readonly constants: Readonly<Record<string, number>>;
  readonly bindings: readonly Binding[];
  /** The fields of `struct Params`, 4 bytes each, in order. */
  readonly params: readonly Param[];
  readonly workgroup: readonly [number, number, number];
  /** The entry point takes `num_workgroups`, so a grid too wide for one axis may be split over two. */
  readonly splits: boolean;
  /** Where a line of the composed code comes from. */
  where(line: number): SourceLine;
}

let observer: ((kernel: Kernel) => void) | null = null;
/** Calls `see` for each kernel that is defined from now on; for tests that compile them all. */
export function observeKernels(see: ((kernel: Kernel) => void) | null): void {
  observer = see;
}

/** Comments become spaces, so that positions stay and no declaration inside one is found. */
const blank = (text: string): string =>
  text.replace(/\/\/[^\n]*|\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, " "));

/** A text's first line names its file, so that a plain string needs no loader. */
const fileName = (text: string): string =>
  /^\s*\/\/\s*([\w./-]+\.wgsl)/.exec(text)?.[1] ?? "kernel.wgsl";

/** A knob's value as WGSL for a declaration of that type. */
function literal(value: KnobValue, type: string | undefined): string {
  if (typeof value !== "number") return String(value);
  if (type === "u32" || type === "i32") return `${value}${type[0]}`;
  if (type === "f32") return Number.isInteger(value) ? `${value}.0` : `${value}`;
  return String(value);
}

/** Replaces the right-hand sides of the declarations that the knobs name. */
function specialise(source: string, knobs: Readonly<Record<string, KnobValue>>, label: string) {
  const constants: Record<string, number> = {};
  let text = source;
  for (const [name, value] of Object.entries(knobs)) {
    const declaration = new RegExp(
      `^([ \\t]*(?:@id\\(\\d+\\)\\s*)?(override|const|alias)\\s+${name}\\b\\s*(?::\\s*(\\w+))?[^=;\\n]*=\\s*)([^;]+);`,
      "gm",
    );
    const found = [...blank(text).matchAll(declaration)];
    const match = found[0];
    if (!match || found.length > 1) {
      throw new KernelError(
        `${label}: knob '${name}' matches ${found.length} top-level override, const or alias ` +
          "declarations, expected 1",
      );
    }
    const [all, before, keyword, type] = match;
    if (keyword === "override") {
      constants[name] = Number(value);
      continue;
    }
    const after = text.slice(match.index + all.length);
    text = `${text.slice(0, match.index)}${before}${literal(value, type)};${after}`;
  }
  return { text, constants };
}

function reflectBindings(clean: string): Binding[] {
  const pattern =
    /@group\(\s*0\s*\)\s*@binding\(\s*(\d+)\s*\)\s*var\s*(?:<([^>]+)>)?\s*(\w+)\s*:\s*(\w+)/g;
  return [...clean.matchAll(pattern)].map(([, slot, space = "", name, type]) => ({
    name: name!,
    slot: Number(slot),
    kind: type!.startsWith("texture_storage_2d")
      ? "image"
      : space.includes("uniform")
        ? "uniform"
        : space.includes("read_write")
          ? "storage"
          : "read-only-storage",
  }));
}

function reflectParams(clean: string, label: string): Param[] {
  const body = /struct\s+Params\s*\{([^}]*)\}/.exec(clean)?.[1] ?? "";
  return [...body.matchAll(/(\w+)\s*:\s*([\w<>]+)/g)].map(([, name, type]) => {
    if (type !== "u32" && type !== "i32" && type !== "f32") {
      throw new KernelError(`${label}: Params.${name} is ${type}, expected u32, i32 or f32`);
    }
    return { name: name!, type };
  });
}

/** The number behind a `@workgroup_size` argument: a literal, or a top-level constant. */
function constantValue(
  word: string,
  clean: string,
  constants: Record<string, number>,
  label: string,
): number {
  const plain = word.trim().replace(/\b(\d+)u\b/g, "$1");
  if (/^\d+$/.test(plain)) return Number(plain);
  const product = plain.split("*");
  if (product.length > 1) {
    return product.reduce((n, part) => n * constantValue(part, clean, constants, label), 1);
  }
  if (plain in constants) return constants[plain]!;
  const declared = new RegExp(`\\b(?:override|const)\\s+${plain}\\b[^=;]*=\\s*([^;]+);`).exec(
    clean,
  );
  if (!declared) {
    throw new KernelError(
      `${label}: workgroup size '${plain}' is not a number, a top-level constant or a product of them`,
    );
  }
  return constantValue(declared[1]!, clean, constants, label);
}

/**
 * Declares a compute kernel. `source` is WGSL (a string or a `.wgsl` import) whose first line names its file in a
 * comment; bindings (all in `@group(0)`) and a flat `struct Params` in one uniform binding are read from it.
 *
 * @throws KernelError if the entry point, a knob or a workgroup size matches nothing.
 */
export function defineKernel(source: string, options: KernelOptions): Kernel {
  const { entry, knobs = {}, uses = [], enables = [], variant = null } = options;
  const label = `${fileName(source)}:${entry}`;
  const { text, constants } = specialise(source, knobs, label);
  const parts = [text, ...uses];
  const code = parts.join("\n");
  const clean = blank(code);

  const head = new RegExp(`([^;}]*)\\bfn\\s+${entry}\\b([^{]*)`).exec(clean);
  if (!head) throw new KernelError(`${label}: the source has no function '${entry}'`);
  const size = /@workgroup_size\(([^)]*)\)/.exec(head[1]!)?.[1];
  if (size === undefined) throw new KernelError(`${label}: '${entry}' has no @workgroup_size`);
  const [x = 1, y = 1, z = 1] = size
    .split(",")
    .filter((word) => word.trim())
    .map((word) => constantValue(word, clean, constants, label));

  const kernel: Kernel = {
    label,
    variant,
    knobs,
    code: enables.map((name) => `enable ${name}; `).join("") + code,
    entry,
    constants,
    bindings: reflectBindings(clean),
    params: reflectParams(clean, label),
    workgroup: [x, y, z],
    splits: head[2]!.includes("num_workgroups"),
    where(line) {
      let rest = line;
      for (const part of parts) {
        const lines = part.split("\n");
        if (rest <= lines.length)
          return { file: fileName(part), line: rest, text: lines[rest - 1]! };
        rest -= lines.length;
      }
      return { file: fileName(source), line, text: "" };
    },
  };
  observer?.(kernel);
  return kernel;
}

/**
 * The bindings of one call: those that it names, and the uniform one. Two entry points may use one slot under two
 * names, so a layout cannot hold all that the text declares.
 */
export function bindingsOf(kernel: Kernel, names: readonly string[]): Binding[] {
  const bound = names.map((name) => {
    const found = kernel.bindings.find((b) => b.name === name && b.kind !== "uniform");
    if (found) return found;
    const has = kernel.bindings.filter((b) => b.kind !== "uniform").map((b) => b.name);
    throw new KernelError(
      `${kernel.label}: no storage binding '${name}'; it has ${has.join(", ")}`,
    );
  });
  const uniform = kernel.bindings.find((b) => b.kind === "uniform");
  return uniform && kernel.params.length ? [...bound, uniform] : bound;
}

/** The words of one Params struct. Every field must be given, and nothing else. */
export function packParams(
  kernel: Kernel,
  given: Readonly<Record<string, number>>,
): Uint32Array<ArrayBuffer> {
  const { params, label } = kernel;
  const words = new Uint32Array(Math.max(4, Math.ceil(params.length / 4) * 4));
  const floats = new Float32Array(words.buffer);
  params.forEach(({ name, type }, i) => {
    const value = given[name];
    if (value === undefined) throw new KernelError(`${label}: Params.${name} was not given`);
    if (type === "f32") floats[i] = value;
    else if (
      Number.isInteger(value) &&
      value < 2 ** 32 &&
      value >= (type === "u32" ? 0 : -(2 ** 31))
    ) {
      words[i] = value;
    } else throw new KernelError(`${label}: Params.${name} is a ${type}, got ${value}`);
  });
  const names = Object.keys(given);
  if (names.length > params.length) {
    const extra = names.find((name) => !params.some((p) => p.name === name));
    const has = params.map((p) => p.name).join(", ") || "none";
    throw new KernelError(`${label}: no field '${extra}' in Params; its fields: ${has}`);
  }
  return words;
}
