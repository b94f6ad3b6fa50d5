// Kernels whose variant is only known when an op runs. Those with one variant are constants of their op's file.
import { defineKernel, type Kernel, type KnobValue } from "../gpu/kernel.ts";

const made = new Map<string, Kernel>();
/** One kernel object for one text, so that its pipeline is made once. */
export function kernelOf(
  source: string,
  entry: string,
  knobs: Readonly<Record<string, KnobValue>>,
  uses: readonly string[],
  enables: readonly string[] = [],
): Kernel {
  const texts = [source, ...uses].map((text) => text.slice(0, text.indexOf("\n"))); // which name their files
  const key = JSON.stringify([texts, entry, knobs, enables]);
  let kernel = made.get(key);
  if (!kernel) {
    kernel = defineKernel(source, { entry, knobs, uses, enables });
    made.set(key, kernel);
  }
  return kernel;
}
