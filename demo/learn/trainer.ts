// The loop in the worker: both networks step on the same batches, and the page hears of it. Knows no page.
import { DeviceLostError, type Gpu, openGpu, random } from "../../src/index.ts";
import type { Dataset } from "../../src/io/datasets.ts";
import { epochOf } from "../../src/train/batches.ts";
import { modelOf } from "../../src/train/classifier.ts";
import { evaluate } from "../../src/train/loop.ts";
import { pacer } from "../../src/train/pace.ts";
import { planOf } from "../../src/train/plan.ts";
import { part } from "./data.ts";
import { networks, recipe } from "./presets.ts";
import {
  type Both,
  type Drawing,
  type Events,
  type Opened,
  type Reader,
  type Settings,
  WHICH,
  type Which,
} from "./protocol.ts";
import { drawingReader } from "./reader.ts";
import { adapterName, insightOf, progressOf, type Seen } from "./results.ts";
import { type Inputs, type Saved, type Trainee, trainee } from "./trainee.ts";

export type Emit = <K extends keyof Events>(event: K, value: Events[K]) => void;

/** How often things happen, in ms: what the page hears, a closer look, a test, a checkpoint in memory. */
const WINDOW = 100;
const INSIGHT = 700;
const TEST = 4000;
const SAVE = 5000;
/** While nothing trains: how often it is asked whether the device is still there. */
const IDLE = 500;

export interface TrainerOptions {
  readonly data: Dataset;
  readonly network: string;
  readonly settings: Settings;
  readonly seed: number;
  /** Images of the test set that are classified from time to time. */
  readonly testCount: number;
  /** The checkpoint of a network that was trained before. */
  readonly trained: () => Promise<Blob>;
}

export interface Trainer {
  readonly opened: Opened;
  run(): void;
  pause(): void;
  /** One step, with a closer look at it. */
  step(): Promise<void>;
  /** The same start again, with the settings of now. */
  reset(): Promise<void>;
  /** Acts from the next step on. */
  set(settings: Settings): void;
  /** Probabilities of the classes by `reader`, or null for an empty drawing. */
  classify(drawing: Drawing, reader: Reader): Promise<number[] | null>;
  /** After `lost`: opens a device again and goes on from the last checkpoint in memory, at the step returned. */
  recover(): Promise<number>;
  /** Gives back all but the device, for the next trainer; null if the device is gone. */
  close(): Promise<Gpu | null>;
}

interface Checkpoint {
  readonly step: number;
  readonly images: number;
  readonly diverged: Partial<Both<number>>;
  readonly saved: readonly (readonly [Which, Saved])[];
}

/** What is trained, and how. @throws OptionError for data that cannot be. */
export function planFor({
  data,
  network,
  seed,
}: Pick<TrainerOptions, "data" | "network" | "seed">) {
  const variant = networks[network];
  if (!variant) throw new Error(`expected a network of ${Object.keys(networks)}, got ${network}`);
  return planOf({ data, variant, recipe, seed });
}

/** Opens a device, unless one is lent, and both networks, compiled and at step 0; nothing runs yet. */
export async function openTrainer(
  options: TrainerOptions,
  emit: Emit,
  lent: Gpu | null = null,
): Promise<Trainer> {
  const { data, network, seed } = options;
  const plan = planFor(options);
  const { description } = plan;
  const model = modelOf(description);
  const test = part(data.test, 0, Math.min(options.testCount, data.test.count));

  let settings = options.settings;
  let gpu: Gpu;
  let nets: Both<Trainee>;
  let read: ReturnType<typeof drawingReader>;
  let [step, images, rate] = [0, 0, 0];
  let diverged: Partial<Both<number>> = {};
  let checkpoint: Checkpoint = { step, images, diverged, saved: [] };
  let running = false;

  // Batches: an epoch after another; another size begins a new one.
  let epoch = 0;
  let batches: { readonly size: number; readonly rest: ReturnType<typeof epochOf> } | null = null;
  const nextInputs = (): Inputs => {
    const size = Math.min(settings.batch, data.train.count);
    for (;;) {
      if (batches?.size !== size) {
        const from = { seed, epoch: epoch++, batch: size, augment: plan.recipe.augment };
        batches = { size, rest: epochOf(data.train, description.scaling, from) };
      }
      const { value, done } = batches.rest.next();
      if (!done) return { ...value, lr: settings.lr, keys: random.keys([seed, step], model.draws) };
      batches = null;
    }
  };

  const alive = () => WHICH.filter((which) => diverged[which] === undefined);
  const make = (): Both<Trainee> => {
    const one = (clipping: number | null) =>
      trainee(gpu, description, model, { ...plan.recipe, clipping }, seed);
    return { clipped: one(settings.clipping), free: one(null) };
  };
  const open = async (on: Gpu | null) => {
    gpu = on ?? (await openGpu());
    read = drawingReader(gpu, options.trained);
    nets = make();
    const inputs = nextInputs();
    for (const [i, which] of WHICH.entries())
      await nets[which].compile(inputs, (part) => emit("compile", (i + part) / WHICH.length));
    await evaluate(nets.clipped.net, test); // its kernels are the last that are new
  };
  const start = () => {
    [step, images, rate, epoch] = [0, 0, 0, 0];
    [diverged, batches] = [{}, null];
    checkpoint = { step, images, diverged, saved: [] };
  };

  const due = { insight: 0, test: 0, save: 0 };
  const later = (what: keyof typeof due, since: number, every: number) => {
    const now = performance.now();
    due[what] = now + Math.max(every, 6 * (now - since)); // what is slow here happens less often
  };

  /** Sends off some steps, reads all of them, and tells the page. */
  async function steps(pace: ReturnType<typeof pacer>, one: boolean): Promise<void> {
    const since = performance.now();
    const reads: Promise<Seen>[] = [];
    let trained = 0;
    let last = false;
    while (!last) {
      const inputs = nextInputs();
      const watch = one || (reads.length === 0 && since >= due.insight);
      nets.clipped.setClipping(settings.clipping);
      const outs = alive().map((which) => [which, nets[which].step(inputs, watch)] as const);
      const { labels } = inputs;
      const seen = { step: ++step, labels, clipping: settings.clipping };
      reads.push(
        Promise.all(outs.map(async ([w, out]) => [w, await gpu.read(out)] as const)).then(
          (read) => ({ ...seen, nets: read }),
        ),
      );
      images += labels.length;
      trained += labels.length * outs.length;
      last = pace.look(one || watch);
    }
    const seen = await pace.read(() => Promise.all(reads));
    const speed = (1000 * trained) / (performance.now() - since);
    rate = rate === 0 ? speed : 0.7 * rate + 0.3 * speed;
    const progress = progressOf(seen, diverged);
    diverged = progress.diverged;
    emit("progress", { ...progress, images, imagesPerSecond: rate });
    const insight = insightOf(seen[0]!);
    if (insight) {
      emit("insight", insight);
      later("insight", since, INSIGHT);
    }
    if (alive().length === 0) running = false;
  }

  async function look(): Promise<void> {
    const since = performance.now();
    if (since >= due.save) {
      const saved = await Promise.all(alive().map(async (w) => [w, await nets[w].save()] as const));
      checkpoint = { step, images, diverged, saved };
      later("save", since, SAVE);
    }
    if (since < due.test) return;
    const accuracy: { -readonly [K in Which]?: number } = {};
    for (const which of alive()) {
      const { correct, count } = await evaluate(nets[which].net, test);
      accuracy[which] = correct / count;
    }
    emit("tested", { step, count: test.count, accuracy });
    later("test", since, TEST);
  }

  // What the page asks for happens between steps, in order.
  const asked: (() => Promise<void>)[] = [];
  let wake = () => {};
  let over: Error | null = null;
  const between = <T>(work: () => Promise<T>) =>
    new Promise<T>((done, failed) => {
      if (over) return failed(over);
      asked.push(() => work().then(done, failed));
      wake();
    });
  const idle = () =>
    new Promise<void>((done) => {
      wake = done;
      setTimeout(done, IDLE);
    });

  async function loop(): Promise<void> {
    const pace = pacer(WINDOW);
    over = null;
    try {
      for (;;) {
        for (const work of asked.splice(0)) await work();
        if (over) return;
        if (running) {
          await steps(pace, false);
          await look();
        } else {
          await gpu.sync(); // throws if the device is gone
          if (asked.length === 0) await idle();
        }
      }
    } catch (cause) {
      // What a lost device breaks first may say less than the loss itself.
      const error = await gpu.sync().then(
        () => cause as Error,
        (later: Error) => (later instanceof DeviceLostError ? later : (cause as Error)),
      );
      over = error;
      const lost = error instanceof DeviceLostError;
      emit(lost ? "lost" : "failed", { message: error.message, step: checkpoint.step });
      for (const work of asked.splice(0)) await work();
    }
  }

  await open(lent);
  void loop();

  return {
    opened: {
      adapter: adapterName(gpu!.info),
      network,
      parameters: nets!.clipped.parameters,
      layers: nets!.clipped.layers,
      blocks: model.blocks.length,
      data: {
        name: data.name,
        train: data.train.count,
        test: test.count,
        height: data.train.height,
        width: data.train.width,
      },
    },
    run() {
      running = true;
      wake();
    },
    pause() {
      running = false;
    },
    step: () => between(() => steps(pacer(WINDOW), true)),
    reset: () =>
      between(async () => {
        for (const which of WHICH) nets[which].dispose();
        start();
        nets = make();
        due.insight = due.test = due.save = 0;
      }),
    set(next) {
      settings = next;
    },
    classify: (drawing, reader) => between(() => read(drawing, reader, nets.clipped.net)),
    async recover() {
      await gpu.close().catch(() => {}); // the page knows already why it stopped
      await open(null);
      for (const [which, saved] of checkpoint.saved) nets[which].restore(saved);
      ({ step, images, diverged } = checkpoint);
      void loop();
      return checkpoint.step;
    },
    async close() {
      const end = async () => {
        over = new Error("this trainer is closed");
        for (const which of WHICH) nets[which].dispose();
      };
      if (!over) return between(end).then(() => gpu);
      await gpu.close().catch(() => {}); // the page knows already why it stopped
      return null;
    },
  };
}
