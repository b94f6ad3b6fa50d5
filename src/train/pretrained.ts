// A network from any file of weights, ready to look at pictures: which NFNet it is, and how its pictures are prepared.
// Trains nothing, prints nothing.
import type { Gpu } from "../core/gpu.ts";
import { type Host, isLazy, type Lazy, type LazyTree } from "../core/host.ts";
import type { Params } from "../core/init.ts";
import type { Tensor } from "../core/tensor.ts";
import * as tree from "../core/tree.ts";
import { FormatError, NfgradError } from "../errors.ts";
import { openHaiku, readHaiku } from "../io/haiku.ts";
import { demoImage, rgbOf } from "../io/images.ts";
import type { RandomAccess } from "../io/source.ts";
import { type NFNet, type NFNetSpec, nfnet } from "../nn/nfnet.ts";
import type { Picture } from "../platform/types.ts";
import { batchOf } from "./batches.ts";
import { type Description, isDescription, modelOf, openClassifier } from "./classifier.ts";
import { imageOf } from "./picture.ts";
import { variantByName, variantNames } from "./recipes.ts";

/** A file of weights whose network is known. Nothing is on a GPU yet. */
export interface Pretrained {
  readonly variant: string;
  readonly model: NFNet;
  readonly params: LazyTree;
  readonly parameters: number;
  readonly classes: number;
  /** Of the network's input, in pixels. */
  readonly size: { readonly height: number; readonly width: number };
  /** What `nfgrad train` wrote of its data; null: pictures are prepared as for ImageNet. */
  readonly description: Description | null;
}

/** Ready to look. */
export interface Looker {
  /** The loaded weights. `model.parts` of them can be timed. */
  readonly params: Params<NFNetSpec>;
  /** Takes the kernels through the compiler, so that the first picture needs no more time than the others. */
  compile(onProgress?: (done: number, all: number) => void): Promise<void>;
  /** One picture as the network gets it, `[1, height, width, 3]`. */
  input(picture: Picture): { readonly x: Host; readonly inverted: boolean };
  /** One picture's logits; `inverted` says that it was dark on light, where light on dark was learnt. */
  look(picture: Picture): Promise<{ readonly logits: Float32Array; readonly inverted: boolean }>;
  /** Gives the weights' memory back. */
  dispose(): void;
}

/** What a variant of a published network is called in a file's name, such as `F0_haiku.npz`; null without any. */
export function variantInName(file: string): string | null {
  const base = file.split(/[/\\]/).at(-1) ?? "";
  const [, found] = /(?:^|[^a-z0-9])(f[0-7]\+?)(?![a-z0-9+])/i.exec(base) ?? [];
  return found?.toUpperCase() ?? null;
}

const candidate = (name: string, numClasses: number): NFNet => {
  const { sizes, options } = variantByName(name);
  return nfnet({ ...options, variant: sizes, numClasses });
};

const shapesOf = (node: unknown, path = ""): [path: string, shape: readonly number[]][] => {
  if (typeof node !== "object" || node === null) return [];
  if ("init" in node && "shape" in node) return [[path, node.shape as readonly number[]]];
  const under = (key: string) => (path ? `${path}/${key}` : key);
  return Object.entries(node).flatMap(([key, sub]) => shapesOf(sub, under(key)));
};

/** Whether the file has this model's parameters, and no others of a network. */
function fits({ spec, names }: NFNet, arrays: ReadonlyMap<string, Lazy>): boolean {
  const own = shapesOf(spec);
  const inFile = [...arrays.keys()].filter((name) => name.startsWith("NFNet/"));
  return (
    own.length === inFile.length &&
    own.every(([path, shape]) => `${arrays.get(names[path]!)?.shape}` === `${shape}`)
  );
}

/** ImageNet's names where there are as many classes and nothing says otherwise; else numbers. */
export async function classNames({ classes, description }: Pretrained): Promise<readonly string[]> {
  if (classes === 1000 && !description) return (await import("../io/imagenet.ts")).imagenetClasses;
  return Array.from({ length: classes }, (_, i) => String(i));
}

const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** Haiku's name of the classifier's weight in every NFNet. */
const CLASSIFIER = "NFNet/~/linear/w";

/**
 * Opens any file of weights: the released `F*_haiku.npz` and what else `io.openHaiku` reads, or a checkpoint of
 * `nfgrad train`. The variant is `variant`, or what the file's name says, or the one whose parameters the file has.
 * @throws FormatError for a file that is no network's, is of a variant that cannot be told, or does not fit it.
 */
export async function openPretrained(source: RandomAccess, variant?: string): Promise<Pretrained> {
  const what = source.name ?? "the file";
  const arrays = await readHaiku(source);
  const last = arrays.get(CLASSIFIER);
  if (!last) return fromCheckpoint(source, what, variant);
  const classes = last.shape.at(-1) ?? 0;
  if (last.shape.length !== 2 || classes < 1)
    throw new FormatError(`${what}: "${CLASSIFIER}" is [${last.shape}], expected two dimensions`);
  const own = variantNames.filter((name) => fits(candidate(name, classes), arrays));
  const name = variant ?? variantInName(what) ?? (own.length === 1 ? own[0] : undefined);
  if (name === undefined)
    throw new FormatError(
      `${what}: its parameters are those of ${own.join(" and of ") || "no known variant"}; name it with a variant`,
    );
  if (own.length && !own.includes(name))
    throw new FormatError(`${what}: expected the parameters of ${name}, it has those of ${own[0]}`);
  const known = candidate(name, classes);
  const { params, meta } = await openHaiku(source, known);
  const description = isDescription(meta.net) ? meta.net : null;
  const model = description ? modelOf(description) : known;
  const side = { height: known.testImsize, width: known.testImsize };
  const size = description ? description.scaling : side;
  return { variant: name, model, params, parameters: countOf(model), classes, size, description };
}

const countOf = ({ spec }: NFNet) => shapesOf(spec).reduce((n, [, shape]) => n + sizeOf(shape), 0);

async function fromCheckpoint(
  source: RandomAccess,
  what: string,
  variant?: string,
): Promise<Pretrained> {
  const { description, tensors } = await openClassifier(source).catch((cause) => {
    throw new FormatError(
      `${what}: expected an NFNet's weights under Haiku's names or a checkpoint of "nfgrad train"; ` +
        `it has no "${CLASSIFIER}" and describes no network`,
      { cause },
    );
  });
  if (variant !== undefined && variant !== description.variant)
    throw new FormatError(`${what}: expected a ${variant}, it is a ${description.variant}`);
  const model = modelOf(description);
  const { classes, scaling: size } = description;
  const params = tensors.params as LazyTree;
  const parameters = countOf(model);
  return { variant: description.variant, model, params, parameters, classes, size, description };
}

/** The same tree; tells how many values have been read. */
function counting(values: LazyTree, told: (count: number) => void): LazyTree {
  if (isLazy(values)) {
    const { shape, dtype } = values;
    return {
      shape,
      dtype,
      read: () => values.read(),
      async *pieces() {
        for await (const piece of values.pieces?.() ?? [await values.read()]) {
          told(piece.length);
          yield piece;
        }
      },
    };
  }
  if (Array.isArray(values)) return values.map((sub: LazyTree) => counting(sub, told));
  const entries = Object.entries(values as Record<string, LazyTree>);
  return Object.fromEntries(entries.map(([key, sub]) => [key, counting(sub, told)]));
}

/**
 * Loads the weights.
 * @param onProgress How many parameters are loaded, of all.
 * @throws ShapeError for weights that do not fit the network.
 */
export async function loadPretrained(
  gpu: Gpu,
  { model, params: stored, parameters, description, size }: Pretrained,
  onProgress?: (done: number, all: number) => void,
): Promise<Looker> {
  const params = gpu.init(model.spec, { zeros: true });
  let done = 0;
  const told = (values: number) => {
    done += values;
    onProgress?.(done, parameters);
  };
  try {
    await gpu.assign(params as object, counting(stored, told));
  } catch (error) {
    tree.dispose(params);
    throw error;
  }
  const predict = gpu.record((x: Tensor) => model(params, x, { train: false }), {
    name: "predict",
  });
  const input = (picture: Picture) => {
    if (!description) {
      const { data, shape } = demoImage(rgbOf(picture), size.height);
      return { x: { data, shape: [1, ...shape] }, inverted: false };
    }
    const { image, inverted } = imageOf(picture, description.image);
    return { x: batchOf(image, description.scaling, [0]).x, inverted };
  };
  const zeros = {
    data: new Float32Array(3 * size.height * size.width),
    shape: [1, size.height, size.width, 3],
  };
  return {
    params,
    compile: (onProgress) => gpu.compile(predict, [zeros], onProgress),
    input,
    async look(picture) {
      const { x, inverted } = input(picture);
      return { logits: finite((await predict(x).data()) as Float32Array), inverted };
    },
    dispose() {
      predict.dispose();
      tree.dispose(params);
    },
  };
}

function finite(logits: Float32Array): Float32Array {
  if (logits.every(Number.isFinite)) return logits;
  throw new NfgradError("classify: the network's outputs are not finite: are these its weights?");
}
