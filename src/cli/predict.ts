// `nfgrad predict`: what a trained network sees in pictures.
import { existsSync } from "node:fs";
import { decodeImage, readFile } from "#platform";
import { OptionError } from "../errors.ts";
import { openFile } from "../io/checkpoint.ts";
import { loadClassifier, probabilities } from "../train/index.ts";
import { imageOf } from "../train/picture.ts";
import { withGpu } from "./adapter.ts";
import { command } from "./args.ts";
import { percent } from "./progress.ts";
import { DEFAULT_WEIGHTS } from "./train.ts";

export const predict = command({
  name: "predict",
  summary: "classify pictures (PNG or JPEG) with a network that `nfgrad train` made",
  operands: "IMAGE...",
  options: {
    weights: {
      type: "text",
      value: "FILE",
      help: `checkpoint of nfgrad train (${DEFAULT_WEIGHTS})`,
    },
  },
  async run({ weights = DEFAULT_WEIGHTS, adapter }, files) {
    if (files.length === 0)
      throw new OptionError(
        "nfgrad predict: expects at least one IMAGE; see nfgrad predict --help",
      );
    if (weights === DEFAULT_WEIGHTS && !existsSync(weights))
      throw new OptionError(
        `nfgrad predict: there is no ${weights} here; nfgrad train writes it, or name a checkpoint with --weights`,
      );
    await withGpu(adapter, async (gpu) => {
      const net = await loadClassifier(gpu, await openFile(weights));
      for (const file of files) {
        const picture = await decodeImage(await readFile(file), file);
        const { image, inverted } = imageOf(picture, net.description.image);
        const likely = probabilities(await net.logits(image))
          .map((p, label) => ({ p, label }))
          .sort((a, b) => b.p - a.p)
          .slice(0, 3)
          .map(({ p, label }) => `${label} (${percent(p)})`);
        const note = inverted ? "  [dark on light: inverted]" : "";
        console.log(`${file}: ${likely.join(", then ")}${note}`);
      }
    });
  },
});
