// Where bytes come from: any source as ranges, a cursor for parsing, and long ranges in bounded pieces. Knows no format.
import { FormatError } from "../errors.ts";

/** Bytes that can be read by range: a file, a remote object. `read` gives exactly `length` bytes. */
export interface RandomAccess {
  readonly size: number;
  /** For error messages. */
  readonly name?: string;
  read(offset: number, length: number): Promise<Uint8Array>;
}

export type ByteSource = Uint8Array | ArrayBuffer | Blob | RandomAccess;

/** A long range is read in pieces of this many bytes: few reads, little memory. */
const PIECE = 4 << 20;
/** What a cursor reads ahead: parsing jumps over the arrays, so most of a larger window would be thrown away. */
const WINDOW = 16 << 10;

/** A source of any kind as ranges; `Uint8Array`s that it gives are views where that is possible. */
export function randomAccess(source: ByteSource): RandomAccess {
  if (source instanceof ArrayBuffer) return randomAccess(new Uint8Array(source));
  if (source instanceof Uint8Array) {
    const read = async (offset: number, length: number) => source.subarray(offset, offset + length);
    return { size: source.length, read };
  }
  if (source instanceof Blob) {
    const read = async (offset: number, length: number) =>
      new Uint8Array(await source.slice(offset, offset + length).arrayBuffer());
    const { size, name } = source as Blob & { readonly name?: string }; // a File has one
    return name ? { size, name, read } : { size, read };
  }
  return source;
}

/** Exactly these bytes. @throws FormatError if the source gives fewer. */
export async function exactly(file: RandomAccess, offset: number, length: number, what: string) {
  const bytes = await file.read(offset, length);
  if (bytes.length === length) return bytes;
  throw new FormatError(
    `reading ${what}: expected ${length} bytes at ${offset}, got ${bytes.length}`,
  );
}

/** A range in order, in pieces of at most 4 MiB. */
export async function* pieces(
  file: RandomAccess,
  offset: number,
  length: number,
  what: string,
): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < length; at += PIECE)
    yield await exactly(file, offset + at, Math.min(PIECE, length - at), what);
}

/** `error`, with the file's name at its beginning if it is a FormatError without it. */
export function inFile(name: string | undefined, error: unknown): unknown {
  if (!(error instanceof FormatError) || !name || error.message.startsWith(name)) return error;
  return new FormatError(`${name}: ${error.message}`, { cause: error });
}

/** Runs `work`; a FormatError of it begins with the source's name, if it has one. */
export async function named<T>(source: ByteSource, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw inFile(randomAccess(source).name, error);
  }
}

/** A place in a source that moves forward over numbers and runs of bytes. */
export interface Cursor {
  /** Position in the source. */
  readonly at: number;
  /** Waits until the next `bytes` bytes can be taken. @throws FormatError where the source ends before. */
  need(bytes: number): void | Promise<void>;
  /** The next bytes, which `need` has asked for; valid until the next `need`. */
  take(bytes: number): DataView;
  /** Passes over bytes without reading them. @throws FormatError where the source ends before. */
  skip(bytes: number): void;
}

/** A cursor at the start of `file`; `what` is for messages. */
export function cursor(file: RandomAccess, what: string): Cursor {
  let buffer: Uint8Array = new Uint8Array(0);
  let start = 0; // of the buffer, in the file
  let at = 0;
  const check = (bytes: number) => {
    if (bytes <= file.size - at) return;
    throw new FormatError(
      `${what}: ${bytes} bytes are to follow at byte ${at}, the file has ${file.size}: truncated?`,
    );
  };
  const fill = async (bytes: number) => {
    buffer = await exactly(file, at, Math.min(Math.max(bytes, WINDOW), file.size - at), what);
    start = at;
  };
  return {
    get at() {
      return at;
    },
    need(bytes) {
      if (at >= start && at + bytes <= start + buffer.length) return;
      check(bytes);
      return fill(bytes);
    },
    take(bytes) {
      const view = new DataView(buffer.buffer, buffer.byteOffset + at - start, bytes);
      at += bytes;
      return view;
    },
    skip(bytes) {
      check(bytes);
      at += bytes;
    },
  };
}
