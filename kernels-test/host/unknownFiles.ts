// Reading files of parameters by unknown hands: arrays, or a FormatError, and nothing else. For tests.
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { FormatError, io } from "../../src/index.ts";
import type { HaikuTree } from "./pickleWriter.ts";

const GOLDEN = new URL("../../parity/golden/checkpoints/", import.meta.url);
export const golden = (name: string) => new Uint8Array(readFileSync(new URL(name, GOLDEN)));

const leaf = (shape: number[], ...values: number[]) => {
  return { shape, data: () => [new Uint8Array(Float32Array.from(values).buffer)] };
};
export const tiny: HaikuTree = {
  "N/~/a": { w: leaf([2, 2], 1, -2, 3e-5, 400), b: leaf([], 7) },
  "N/~/b": { w: leaf([3], 1, 2, 3) },
};
/** A source that refuses to be asked for more than it has. */
function strict(bytes: Uint8Array) {
  const read = async (offset: number, length: number) => {
    const end = offset + length;
    if (!(Number.isInteger(offset) && offset >= 0 && length >= 0 && end <= bytes.length))
      throw new Error(`asked for bytes ${offset} to ${end} of ${bytes.length}`);
    return bytes.subarray(offset, end);
  };
  return { size: bytes.length, read };
}

/** Reads all arrays. Null, or the FormatError; anything else is thrown. */
export async function attempt(bytes: Uint8Array): Promise<FormatError | null> {
  try {
    for (const array of (await io.readHaiku(strict(bytes))).values()) await array.read();
    return null;
  } catch (error) {
    if (error instanceof FormatError) return error;
    throw error;
  }
}

export async function refused(bytes: Uint8Array, message: RegExp) {
  const error = await attempt(bytes);
  expect(error).not.toBeNull();
  expect(error!.message).toMatch(message);
  expect(error!.message.length).toBeLessThan(500);
}
