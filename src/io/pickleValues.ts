// What the reader of pickles makes: plain values, and notes of where bytes lie in the file.
import type { RandomAccess } from "./source.ts";

/** A run of bytes in the file; `latin1`: stored as UTF-8 text with a character a byte, as protocol 2 has to. */
export interface Bytes {
  readonly kind: "bytes";
  readonly at: number;
  readonly length: number;
  readonly latin1: boolean;
}
/** Text in the file; `value` only where it is short enough to be a name. */
export interface Text {
  readonly kind: "text";
  readonly at: number;
  readonly length: number;
  readonly value: string | null;
}
export interface List {
  readonly kind: "list" | "tuple";
  readonly items: Value[];
}
export interface Dict {
  readonly kind: "dict";
  readonly entries: Map<string, Value>;
}
/** What the table has under a name: something that can be called, or only be given to a call. */
export interface Global {
  readonly kind: "global";
  readonly name: string;
  readonly call?: (args: readonly Value[], file: RandomAccess) => Value;
}
/** A value that a table's call made. `build` is what pickle's BUILD does to it. */
export interface Made {
  readonly kind: "made";
  readonly what: string;
  readonly build?: (state: Value) => void;
}
export type Value = null | boolean | number | Bytes | Text | List | Dict | Global | Made;

export type Names = ReadonlyMap<string, Pick<Global, "call">>;

/** What a value is, for messages. */
export function describe(value: Value | undefined): string {
  if (value === undefined) return "nothing";
  if (value === null) return "None";
  if (typeof value !== "object") return String(value);
  if (value.kind === "text") return value.value === null ? "a long text" : quote(value.value);
  if (value.kind === "global") return value.name;
  if (value.kind === "made") return value.what;
  return value.kind === "bytes" ? `${value.length} bytes` : `a ${value.kind}`;
}

/** At most 80 characters, for messages. */
export const quote = (text: string) =>
  JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
