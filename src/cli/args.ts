// What a command's options are, read from the command line and shown by --help, and checks that several share. Runs nothing.
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { OptionError } from "../errors.ts";

interface Common {
  /** One line for --help. */
  readonly help: string;
  /** What --help calls the value. */
  readonly value?: string;
}
interface Text extends Common {
  readonly type: "text";
  readonly choices?: readonly string[];
  /** The option may stand without a value (`--json`, `--json FILE`); then it is `true`. */
  readonly optional?: true;
}
interface Numeric extends Common {
  readonly type: "number" | "integer";
  readonly min?: number;
  /** Smaller than `min` or equal to it is refused, too. */
  readonly above?: number;
  readonly max?: number;
}
interface Flag extends Common {
  readonly type: "flag";
}
export type Option = Text | Numeric | Flag;
export type Options = Readonly<Record<string, Option>>;

type Value<O extends Option> = O extends { readonly choices: readonly (infer C)[] }
  ? C
  : O extends { readonly optional: true }
    ? string | true
    : O extends Text
      ? string
      : O extends Numeric
        ? number
        : boolean;
/** The values that were given; keys in camelCase. */
export type Values<O extends Options> = {
  readonly [K in keyof O as Camel<K & string>]?: Value<O[K]>;
};
type Camel<S extends string> = S extends `${infer A}-${infer B}`
  ? `${A}${Capitalize<Camel<B>>}`
  : S;

export interface Command<O extends Options = Options> {
  readonly name: string;
  readonly summary: string;
  /** What comes after the options, for --help: `IMAGE...`; none if left out. */
  readonly operands?: string;
  readonly options: O;
  readonly run: (values: Values<O & typeof general>, operands: readonly string[]) => Promise<void>;
}

/** Options that every command has. */
export const general = {
  adapter: {
    type: "text",
    choices: ["hardware", "software"],
    help: "the kind of adapter (default: hardware if there is any)",
  },
  tuning: {
    type: "text",
    value: "FILE",
    help: "run products as nfgrad tune found for this adapter",
  },
  debug: { type: "flag", help: "show where an error comes from" },
  help: { type: "flag", help: "show this" },
} as const satisfies Options;

/** Makes a command whose `run` knows the types of its options. */
export const command = <const O extends Options>(spec: Command<O>): Command =>
  spec as unknown as Command;

const camel = (name: string) => name.replace(/-(.)/g, (_, c: string) => c.toUpperCase());

function check(where: string, name: string, option: Option, given: string | boolean) {
  const bad = (expected: string) => {
    throw new OptionError(`${where}: --${name} expects ${expected}, got '${given}'`);
  };
  if (option.type === "flag" || typeof given === "boolean") return given;
  if (option.type === "text") {
    const { choices, optional } = option;
    if (optional && given === "") return true;
    return !choices || choices.includes(given)
      ? given
      : bad(choices.length > 2 ? `one of ${choices.join(", ")}` : choices.join(" or "));
  }
  const { type, min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY, above } = option;
  const value = given.trim() === "" ? Number.NaN : Number(given);
  const kind = type === "integer" ? "an integer" : "a number";
  const fits = type === "integer" ? Number.isSafeInteger(value) : Number.isFinite(value);
  const range = [
    ...(above !== undefined ? [`above ${above}`] : []),
    ...(option.min !== undefined ? [`of at least ${min}`] : []),
    ...(option.max !== undefined ? [`up to ${max}`] : []),
  ].join(" ");
  if (fits && value >= min && value <= max && (above === undefined || value > above)) return value;
  return bad(range ? `${kind} ${range}` : kind);
}

/** An option whose value may be left out, and is, gets an empty one: the parser would take what follows. */
function withoutValue(args: readonly string[], options: Options): string[] {
  const end = args.indexOf("--");
  return args.map((arg, i) => {
    const option = arg.startsWith("--") ? options[arg.slice(2)] : undefined;
    if (option?.type !== "text" || !option.optional || (end >= 0 && i > end)) return arg;
    const next = args[i + 1];
    return next === undefined || next.startsWith("-") ? `${arg}=` : arg;
  });
}

/**
 * Reads a command's arguments.
 * @throws OptionError for an unknown option, a value that is missing or not allowed, or operands it does not take.
 */
export function read(
  command: Command,
  given: readonly string[],
): { values: Record<string, string | number | boolean>; operands: string[] } {
  const where = `nfgrad ${command.name}`;
  const options: Options = { ...command.options, ...general };
  const args = withoutValue(given, options);
  const config = Object.fromEntries(
    Object.entries(options).map(([name, { type }]) => [
      name,
      { type: type === "flag" ? ("boolean" as const) : ("string" as const) },
    ]),
  );
  const { values, positionals, tokens } = parseArgs({
    args,
    options: config,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined;
    if (!option)
      throw new OptionError(`${where}: unknown option '${token.rawName}'; see ${where} --help`);
    if (option.type === "flag" && token.value !== undefined)
      throw new OptionError(`${where}: --${token.name} takes no value, got '${token.value}'`);
    // `--seed --lr 1`: a value that looks like an option is a forgotten value, but a negative number is one.
    const { value, inlineValue } = token;
    const forgotten = !inlineValue && value !== undefined && /^-(?![\d.])/.test(value);
    const optional = option.type === "text" && option.optional;
    if (option.type !== "flag" && !optional && (value === undefined || value === "" || forgotten))
      throw new OptionError(`${where}: --${token.name} expects a value; see ${where} --help`);
  }
  if (positionals.length > 0 && !command.operands)
    throw new OptionError(`${where}: expects only options, got '${positionals[0]}'`);
  const checked = Object.entries(values).map(([name, given]) => [
    camel(name),
    check(where, name, options[name]!, given as string | boolean),
  ]);
  return { values: Object.fromEntries(checked), operands: positionals };
}

/** The text of `nfgrad COMMAND --help`. */
export function help({ name, summary, operands, options }: Command): string {
  const all: Options = { ...options, ...general };
  const rows = Object.entries(all).map(([option, spec]) => {
    const kinds = { text: "TEXT", number: "X", integer: "N", flag: "" };
    const name = spec.value ?? kinds[spec.type];
    const value = spec.type === "text" && spec.optional ? `[${name}]` : name;
    return [`  --${option}${value ? ` ${value}` : ""}`, spec.help] as const;
  });
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  const lines = rows.map(([left, right]) => left.padEnd(width) + right);
  const usage = `nfgrad ${name} [options]${operands ? ` ${operands}` : ""}`;
  return [summary, "", `usage: ${usage}`, "", ...lines].join("\n");
}

/** The value of `--filter`. @throws OptionError if it is no regular expression. */
export function pattern(where: string, text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (cause) {
    throw new OptionError(`${where}: --filter: ${(cause as Error).message}`, { cause });
  }
}

/** @throws OptionError if a file cannot be written: to find it before a long run, not after it. */
export function checkFile(where: string, option: string, file: string): void {
  const bad = (why: string) => {
    throw new OptionError(`${where}: --${option}: ${why}`);
  };
  const folder = dirname(file);
  if (!existsSync(folder)) bad(`there is no folder ${folder}`);
  if (existsSync(file) && statSync(file).isDirectory()) bad(`${file} is a folder`);
  try {
    accessSync(folder, constants.W_OK);
  } catch {
    bad(`nothing can be written into ${folder}`);
  }
}
