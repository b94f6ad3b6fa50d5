// For tests: folders of goldens that differ from the committed ones in one thing.
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type HostTensor, readSafetensors, safetensorsBytes } from "../src/io/safetensors.ts";
import { GOLDEN } from "./testing.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests change JSON of all kinds
export type Json = any;

export interface Changeable {
  entry: Json;
  tensors: Map<string, HostTensor>;
  side: Json;
}

const folders: string[] = [];
export function removeChanged(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
}

/** A folder with one case of the committed goldens, changed. */
export async function changed(id: string, change: (given: Changeable) => void): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "parity-"));
  folders.push(folder);
  const manifest: Json = JSON.parse(readFileSync(join(GOLDEN, "manifest.json"), "utf8"));
  const entry = manifest.cases.find((c: Json) => c.id === id);
  const tensors = new Map<string, HostTensor>();
  const { file, side: sideFile } = entry; // the change may rename them, to what must be refused
  if (file) {
    const { entries } = await readSafetensors(readFileSync(join(GOLDEN, file)));
    for (const [name, e] of entries) tensors.set(name, await e.read());
  }
  const side = sideFile ? JSON.parse(readFileSync(join(GOLDEN, sideFile), "utf8")) : null;
  change({ entry, tensors, side });
  if (file) writeFileSync(join(folder, file), safetensorsBytes(tensors));
  if (side) writeFileSync(join(folder, sideFile), JSON.stringify(side));
  const cases = [entry];
  const problem = manifest.cases.find((c: Json) => c.id === entry.config?.inputs_of);
  if (problem) {
    cases.push(problem);
    copyFileSync(join(GOLDEN, problem.file), join(folder, problem.file));
  }
  writeFileSync(join(folder, "manifest.json"), JSON.stringify({ meta: {}, cases }));
  return folder;
}
