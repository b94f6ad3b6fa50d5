// The Learn page's worker: everything that computes.

import type { Dataset } from "../../src/io/datasets.ts";
import { answer } from "../common/rpc.ts";
import { fetched, loadDigits, readFiles } from "./data.ts";
import type { Drawing, Events, Opened, Reader, Settings } from "./protocol.ts";
import { openTrainer, planFor, type Trainer } from "./trainer.ts";

export interface Start {
  readonly network: string;
  readonly settings: Settings;
  readonly testCount: number;
}

let digits: Promise<Dataset> | null = null;
let trainer: Trainer | null = null;
const now = (): Trainer => {
  if (trainer) return trainer;
  throw new Error("nothing is open");
};

/** The network that the page Classify starts with. */
const trained = async (): Promise<Blob> =>
  (await fetched(new URL("../assets/classify/digits.safetensors", import.meta.url).href)).blob();

/** Opens networks on new data or of another size, in place of those that were. */
async function open(data: Dataset, start: Start): Promise<Opened> {
  const options = { ...start, data, seed: 0, trained };
  planFor(options); // what cannot be trained leaves what is open as it is
  const before = trainer;
  trainer = null;
  const gpu = (await before?.close()) ?? null;
  trainer = await openTrainer(options, emit, gpu);
  return trainer.opened;
}

const handlers = {
  /** The site's digits. */
  async open(start: Start): Promise<Opened> {
    digits ??= loadDigits(new URL("../assets/digits.bin", import.meta.url).href);
    return open(await digits, start);
  },
  /** IDX files; what is open stays if they are not good. */
  async openFiles(files: readonly File[], start: Start): Promise<Opened> {
    return open(await readFiles(files), start);
  },
  run: () => now().run(),
  pause: () => now().pause(),
  step: () => now().step(),
  reset: () => now().reset(),
  set: (settings: Settings) => now().set(settings),
  classify: (drawing: Drawing, reader: Reader) => now().classify(drawing, reader),
  recover: () => now().recover(),
};
export type LearnHandlers = typeof handlers;

const emit = answer<Events>(handlers);
