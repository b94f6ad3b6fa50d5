// Prints the device memory of a training step beside what must be there. Records the step, runs nothing:
//   node tools/run.mjs kernels-test/host/measureMemory.ts F0 192 8
import { nn, openGpu } from "../../src/index.ts";
import { measure } from "../cases/nnMemory.ts";

const [variant = "F0", size = "192", images = "8"] = process.argv.slice(2);
const gpu = await openGpu();
const model = nn.nfnet({ variant, numClasses: 1000 });
const { must, peakBytes, imageBytes } = await measure(
  gpu,
  model,
  Number(images),
  Number(size),
  false,
);
const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
console.log(
  `${variant} at ${size}x${size}, ${images} images: ${mib(peakBytes)} at peak, ${mib(must)} must be there ` +
    `(x${(peakBytes / must).toFixed(3)}); images for loads: ${mib(imageBytes)}`,
);
await gpu.close();
