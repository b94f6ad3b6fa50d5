// Reads a case's config: every key is either read or an error, so that no setting is passed over.
import { FormatError } from "../src/index.ts";

/** The settings of one case. Each reader takes the reference's default for an absent key. */
export interface Settings {
  has(key: string): boolean;
  /** A number; without a default the key must be there. */
  number(key: string, otherwise?: number): number;
  numberOrNull(key: string, otherwise: number | null): number | null;
  boolean(key: string, otherwise: boolean): boolean;
  string(key: string, otherwise?: string): string;
  /** One size for both axes, or a pair. */
  size(key: string, otherwise?: number): number | [number, number];
  /** Whatever is there; undefined if nothing is. */
  any(key: string): unknown;
  /** @throws FormatError for keys that nobody read. Call it before computing anything. */
  end(): void;
}

/** `config` as settings; `notes` are keys that only document. */
export function settings(
  config: Readonly<Record<string, unknown>>,
  notes: string[] = [],
): Settings {
  const read = new Set(notes);
  const any = (key: string) => {
    read.add(key);
    return Object.hasOwn(config, key) ? config[key] : undefined;
  };
  const get = <T>(
    key: string,
    otherwise: T | undefined,
    is: (x: unknown) => x is T,
    what: string,
  ) => {
    const value = any(key);
    if (value === undefined && otherwise !== undefined) return otherwise;
    if (is(value)) return value;
    throw new FormatError(`config ${key} is ${JSON.stringify(value)}, expected ${what}`);
  };
  const isSize = (x: unknown): x is number | [number, number] =>
    isNumber(x) || (Array.isArray(x) && x.length === 2 && x.every(isNumber));
  const isNumber = (x: unknown): x is number => typeof x === "number";
  return {
    has: (key) => Object.hasOwn(config, key),
    any,
    number: (key, otherwise) => get(key, otherwise, isNumber, "a number"),
    numberOrNull: (key, otherwise) =>
      get(key, otherwise, (x) => x === null || isNumber(x), "a number or null"),
    size: (key, otherwise) =>
      get<number | [number, number]>(key, otherwise, isSize, "a size or a pair of sizes"),
    boolean: (key, otherwise) =>
      get(key, otherwise, (x) => typeof x === "boolean", "true or false"),
    string: (key, otherwise) => get(key, otherwise, (x) => typeof x === "string", "a string"),
    end() {
      const unknown = Object.keys(config).filter((key) => !read.has(key));
      if (unknown.length) throw new FormatError(`unknown config key ${unknown.join(", ")}`);
    },
  };
}
