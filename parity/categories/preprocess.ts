// The demo's preprocessing of a picture: Pillow's resize, the crop, the normalisation.
import { FormatError, io } from "../../src/index.ts";
import type { Category } from "../category.ts";
import { input, onlyInputs } from "../compute.ts";
import { type Settings, settings } from "../config.ts";
import type { Case } from "../goldens.ts";
import { judgePixels } from "../judge.ts";

/** What the goldens of Pillow say of it; another filter would be another case. */
const RESAMPLE = "BICUBIC (PIL default)";
const SMOOTH = "R=floor(255x/(w-1)), G=floor(255y/(h-1)), B=255*((x>>4)+(y>>4)&1)";

export const preprocess: Category = {
  formulas: true,
  async run(_gpu, given) {
    const config = settings(given.config, ["kind", "pillow"]);
    const imsize = config.number("imsize");
    const resample = config.string("resample", RESAMPLE);
    if (resample !== RESAMPLE) throw new FormatError(`config resample is ${resample}`);
    for (const [key, ours] of [
      ["mean", io.MEAN_RGB],
      ["std", io.STDDEV_RGB],
    ] as const)
      if (config.has(key) && `${config.any(key)}` !== `${ours}`)
        throw new FormatError(`config ${key} is [${config.any(key)}], ours is [${ours}]`);
    const image = imageOf(given, config);
    config.end();
    onlyInputs(given, ["image"]);

    const { resized, cropped } = io.demoSteps(image, imsize);
    const judged = Object.entries({ resized, cropped }).flatMap(
      ([name, { width, height, data }]) => {
        const expected = given.out[name];
        if (!expected?.int || `${expected.shape}` !== `${[height, width, 3]}`) return [];
        return [[name, judgePixels(data, expected.int, 3)] as const];
      },
    );
    // The rule: x is computed from the stored crop, so that a grey level counts once.
    const stored = given.out.cropped;
    const bytes = stored?.int && Uint8Array.from(stored.int, Number);
    const [height, width] = stored?.shape ?? [];
    const source = bytes && height && width ? { width, height, data: bytes } : cropped;
    const shaped = ({ width, height, data }: io.RgbImage) => ({ data, shape: [height, width, 3] });
    return {
      outputs: {
        resized: shaped(resized),
        cropped: shaped(cropped),
        x: io.normalizeImage(source),
      },
      judged: Object.fromEntries(judged),
    };
  },
};

/** The case's picture: an input, or made by the formula in its config. */
function imageOf(given: Case, config: Settings): io.RgbImage {
  const [width, height] = [config.number("width"), config.number("height")];
  const source = config.string("source", "");
  const formula = given.formulas.image;
  const { data, shape } = formula ? { data: null, shape: formula } : input(given, "image");
  if (`${shape}` !== `${[height, width, 3]}`)
    throw new FormatError(`image is [${shape}], config says ${width}x${height}`);
  if (data) return { width, height, data: Uint8Array.from(data as ArrayLike<number>) };
  if (source !== SMOOTH) throw new FormatError(`config source is not understood: ${source}`);
  const pixels = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) {
    const [x, y] = [i % width, Math.floor(i / width)];
    const check = 255 * (((x >> 4) + (y >> 4)) & 1);
    pixels.set([(255 * x) / (width - 1), (255 * y) / (height - 1), check], 3 * i);
  }
  return { width, height, data: pixels };
}
