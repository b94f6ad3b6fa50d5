// `nfgrad classify`: what a trained network sees in pictures, as the reference's demo says it.
import { existsSync } from "node:fs";
import { OptionError } from "../errors.ts";
import { openFile } from "../io/checkpoint.ts";
import { readPicture } from "../io/images.ts";
import { kindOf } from "../platform/types.ts";
import {
  classNames,
  type Likely,
  loadPretrained,
  mostLikely,
  openPretrained,
  type Pretrained,
  variantNames,
} from "../train/index.ts";
import { withGpu } from "./adapter.ts";
import { command } from "./args.ts";
import { percent } from "./progress.ts";
import { DEFAULT_WEIGHTS } from "./train.ts";

const TOP = 5;

/** The weights that the options name. */
async function open(weights: string, variant: string | undefined): Promise<Pretrained> {
  if (weights === DEFAULT_WEIGHTS && !existsSync(weights))
    throw new OptionError(
      `nfgrad classify: there is no ${weights} here; nfgrad train writes it, or name a file with --weights`,
    );
  return openPretrained(await openFile(weights), variant);
}

/** What is no picture at all shows before the weights are loaded. */
async function checkKind(file: string): Promise<void> {
  const source = await openFile(file);
  kindOf(await source.read(0, Math.min(source.size, 12)), file);
}

/** Parts of a load, on a terminal. */
function loading(out: NodeJS.WriteStream): (done: number, all: number) => void {
  let shown = -1;
  return (done, all) => {
    const part = Math.floor((100 * done) / all);
    if (!out.isTTY || part === shown) return;
    shown = part;
    out.write(done < all ? `\r\x1b[Kloading weights ${part} %` : "\r\x1b[K");
  };
}

export const classify = command({
  name: "classify",
  summary: "say what is in pictures (JPEG, PNG, WebP), with a released network or your own",
  operands: "IMAGE...",
  options: {
    weights: {
      type: "text",
      value: "FILE",
      help: `F0_haiku.npz and the like, or what nfgrad train wrote (${DEFAULT_WEIGHTS})`,
    },
    variant: {
      type: "text",
      value: "NAME",
      choices: variantNames,
      help: "the network (default: as the file's name or its parameters say)",
    },
    topk: { type: "integer", min: 1, help: `how many classes to show (${TOP})` },
    json: { type: "flag", help: "print one JSON object, everything else on standard error" },
  },
  async run({ weights = DEFAULT_WEIGHTS, variant, topk, json = false, adapter, tuning }, files) {
    if (files.length === 0)
      throw new OptionError(
        "nfgrad classify: expects at least one IMAGE; see nfgrad classify --help",
      );
    const say = json ? console.error : console.log;
    const net = await open(weights, variant);
    const { classes, size, parameters } = net;
    if (topk !== undefined && topk > classes)
      throw new OptionError(`nfgrad classify: --topk ${topk}: the network has ${classes} classes`);
    const names = await classNames(net);
    const title = names.length === 1000 && !net.description ? "ImageNet class" : "class";
    for (const file of files) await checkKind(file);
    const decode = async (file: string) => readPicture(await openFile(file));
    const first = await decode(files[0]!);
    await withGpu(
      { adapter, tuning },
      async (gpu) => {
        say(
          `network: NFNet-${net.variant}, ${(parameters / 1e6).toFixed(2)} M parameters, ` +
            `images of ${size.height}x${size.width}, ${classes} classes`,
        );
        const { look } = await loadPretrained(gpu, net, loading(process.stderr));
        const images = [];
        for (const [i, file] of files.entries()) {
          const { logits, inverted } = await look(i === 0 ? first : await decode(file));
          const top = mostLikely(logits, names, topk ?? Math.min(TOP, classes));
          const [best] = top as [Likely];
          images.push({ file, class: best.class, name: best.name, top });
          if (json) continue;
          say(`\n${file}${inverted ? "  [dark on light: inverted]" : ""}`);
          say(`${title}: ${best.name}.`);
          for (const { name, probability } of top)
            say(`  ${percent(probability).padStart(7)}  ${name}`);
        }
        if (!json) return;
        const { variant } = net;
        console.log(JSON.stringify({ weights, variant, ...size, classes, images }, null, 2));
      },
      say,
    );
  },
});
