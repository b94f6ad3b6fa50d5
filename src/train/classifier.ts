// A network together with what its inputs and classes are: what a checkpoint describes, and what predicts.
import type { Gpu } from "../core/gpu.ts";
import type { LazyTree } from "../core/host.ts";
import type { Params } from "../core/init.ts";
import type { Tensor } from "../core/tensor.ts";
import { FormatError } from "../errors.ts";
import { load, type Meta } from "../io/checkpoint.ts";
import type { Images } from "../io/datasets.ts";
import type { ByteSource } from "../io/safetensors.ts";
import { type NFNet, type NFNetSpec, nfnet } from "../nn/nfnet.ts";
import type { NFNetVariant } from "../nn/variants.ts";
import { batchOf, type Scaling } from "./batches.ts";
import type { NetOptions } from "./recipes.ts";

/** What a checkpoint says of its network: plain data. */
export interface Description {
  /** The variant's name, for people. */
  readonly variant: string;
  readonly sizes: NFNetVariant;
  readonly options: NetOptions;
  readonly classes: number;
  readonly scaling: Scaling;
  /** Size of a whole image, before cutting. */
  readonly image: { readonly height: number; readonly width: number };
}

export interface Classifier {
  readonly description: Description;
  readonly model: NFNet;
  readonly params: Params<NFNetSpec>;
  /** Logits `[count, classes]` of images of the described size, row by row. */
  logits(images: Images): Promise<Float32Array<ArrayBuffer>>;
  /** Gives its recordings' memory back; the parameters are the caller's. */
  dispose(): void;
}

/** Images that go through the network at once; the last batch is filled up, so that one recording serves all. */
const BATCH = 100;

export const modelOf = ({ sizes, options, classes }: Description): NFNet =>
  nfnet({ ...options, variant: sizes, numClasses: classes });

/** A classifier of parameters that exist; they may change under it. */
export function classifier(
  gpu: Gpu,
  description: Description,
  model: NFNet,
  params: Params<NFNetSpec>,
): Classifier {
  const predict = gpu.record((x: Tensor) => model(params, x, { train: false }), {
    name: "predict",
  });
  const { scaling, classes } = description;
  async function logits(images: Images): Promise<Float32Array<ArrayBuffer>> {
    const all = new Float32Array(images.count * classes);
    const batch = Math.min(BATCH, images.count);
    for (let at = 0; at < images.count; at += batch) {
      const count = Math.min(batch, images.count - at);
      const indices = Array.from({ length: batch }, (_, i) => at + Math.min(i, count - 1));
      const out = await predict(batchOf(images, scaling, indices).x).data();
      all.set((out as Float32Array).subarray(0, count * classes), at * classes);
    }
    return all;
  }
  return { description, model, params, logits, dispose: () => predict.dispose() };
}

/** The class with the greatest logit of each row. */
export function classesOf(logits: ArrayLike<number>, classes: number): number[] {
  return Array.from({ length: logits.length / classes }, (_, n) => {
    let best = 0;
    for (let c = 1; c < classes; c++)
      if (logits[n * classes + c]! > logits[n * classes + best]!) best = c;
    return best;
  });
}

/** Softmax of one row, on the host. */
export function probabilities(logits: Float32Array): number[] {
  const most = Math.max(...logits);
  const exps = Array.from(logits, (v) => Math.exp(v - most));
  const sum = exps.reduce((a, b) => a + b, 0);
  return exps.map((e) => e / sum);
}

/** A class that a network names. */
export interface Likely {
  readonly class: number;
  readonly name: string;
  readonly probability: number;
}

/** The most likely classes of one row of logits, best first; of equal ones the lower. */
export function mostLikely(
  logits: Float32Array,
  names: readonly string[],
  count: number,
): Likely[] {
  return probabilities(logits)
    .map((probability, i) => ({ class: i, name: names[i]!, probability }))
    .sort((a, b) => b.probability - a.probability || a.class - b.class)
    .slice(0, count);
}

const isSize = (x: unknown): x is number => typeof x === "number" && Number.isInteger(x) && x > 0;
const isObject = (x: unknown): x is Record<string, unknown> => typeof x === "object" && x !== null;

/** What a checkpoint's description must have; the model itself checks its sizes. */
export function isDescription(x: unknown): x is Description {
  if (!isObject(x) || !isObject(x.sizes) || !isObject(x.options) || !isSize(x.classes))
    return false;
  const { scaling, image } = x;
  if (!isObject(scaling) || !isObject(image) || typeof x.variant !== "string") return false;
  const sizes = [scaling.height, scaling.width, image.height, image.width];
  return sizes.every(isSize) && [scaling.mean, scaling.std].every(Number.isFinite);
}

export interface Opened {
  readonly description: Description;
  readonly tensors: { readonly [name: string]: LazyTree };
  readonly meta: Meta;
}

/** A file that `nfgrad train` wrote. @throws FormatError for any other. */
export async function openClassifier(
  source: ByteSource & { readonly name?: string },
): Promise<Opened> {
  const { tensors, meta } = await load(source);
  const { net } = meta;
  if (!isDescription(net) || !tensors.params) {
    const what = source.name ?? "the file";
    throw new FormatError(
      `${what}: expected a checkpoint of "nfgrad train", it describes no network`,
    );
  }
  return { description: net, tensors, meta };
}

/** The network of a checkpoint, ready to predict. @throws FormatError, or ShapeError if weights do not fit it. */
export async function loadClassifier(
  gpu: Gpu,
  source: ByteSource & { readonly name?: string },
): Promise<Classifier> {
  const { description, tensors } = await openClassifier(source);
  const model = modelOf(description);
  const params = gpu.init(model.spec, { zeros: true });
  await gpu.assign(params, tensors.params as LazyTree);
  return classifier(gpu, description, model, params);
}
