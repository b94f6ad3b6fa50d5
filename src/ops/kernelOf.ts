// Kernels whose variant is only known when an op runs. Those with one variant are constants of their op's file.
import { defineKernel, type Kernel, type KnobValue } from "../gpu/kernel.ts";

const made = new Map<string, Kernel>();
const numbers = new Map<string, number>();
/** A short name for a text: keys are made at every call. */
function numberOf(text: string): number {
  let n = numbers.get(text);
  if (n === undefined) {
    n = numbers.size;
    numbers.set(text, n);
  }
  return n;
}

/** `defineKernel`, but one object for one variant, so that its pipeline is made once. */
export function kernelOf(
  source: string,
  entry: string,
  knobs: Readonly<Record<string, KnobValue>>,
  uses: readonly string[],
  enables: readonly string[] = [],
): Kernel {
  let key = `${numberOf(source)} ${entry} ${enables}`;
  for (const text of uses) key += ` ${numberOf(text)}`;
  for (const name in knobs) key += ` ${name}=${knobs[name]}`;
  let kernel = made.get(key);
  if (!kernel) {
    kernel = defineKernel(source, { entry, knobs, uses, enables });
    made.set(key, kernel);
  }
  return kernel;
}
