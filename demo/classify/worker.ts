// The engine of the page "Classify": loads networks, looks at pictures, times parts. One call after another.
import { type Gpu, NfgradError, openGpu } from "../../src/index.ts";
import { readPicture } from "../../src/io/images.ts";
import { randomAccess } from "../../src/io/source.ts";
import {
  classNames,
  type Looker,
  loadPretrained,
  mostLikely,
  openPretrained,
  type Pretrained,
} from "../../src/train/index.ts";
import { adapterName } from "../common/adapter.ts";
import { answer } from "../common/rpc.ts";
import type { Events, Handlers } from "./messages.ts";
import { timeParts } from "./times.ts";

const TOP = 5;

interface Loaded {
  readonly net: Pretrained;
  readonly looker: Looker;
  readonly names: readonly string[];
}

let opened: Promise<Gpu> | null = null;
let loaded: Loaded | null = null;
let last: ReturnType<Looker["input"]>["x"] | null = null;
let calls = 0;
let before: Promise<unknown> = Promise.resolve();

/** Runs `work` when all earlier calls are done; it learns whether later ones wait. */
function inTurn<R>(work: (superseded: () => boolean) => Promise<R>): Promise<R> {
  const own = ++calls;
  const result = before.then(() => work(() => calls !== own));
  before = result.catch(() => {});
  return result;
}

function current(): Loaded {
  if (loaded) return loaded;
  throw new NfgradError("classify: no network is loaded");
}

const handlers: Handlers = {
  load: (file) =>
    inTurn(async () => {
      const net = await openPretrained(randomAccess(file));
      opened ??= openGpu();
      const gpu = await opened;
      const names = await classNames(net);
      let told = 0;
      const looker = await loadPretrained(gpu, net, (done, all) => {
        if (done < all && performance.now() - told < 50) return;
        told = performance.now();
        send("loading", { done, all });
      });
      await looker
        .compile((done, all) => send("compiling", { done, all }))
        .catch((error) => {
          looker.dispose();
          throw error;
        });
      loaded?.looker.dispose();
      loaded = { net, looker, names };
      last = null;
      const { variant, parameters, classes, size, description } = net;
      return {
        ...{ variant, parameters, classes, ...size },
        imagenet: classes === 1000 && !description,
        adapter: adapterName(gpu.info).name,
        software: gpu.info.kind === "software",
      };
    }),

  look: (file) =>
    inTurn(async () => {
      const { looker, names } = current();
      const started = performance.now();
      const picture = await readPicture(randomAccess(file));
      const { logits, inverted } = await looker.look(picture);
      const seconds = (performance.now() - started) / 1000;
      last = looker.input(picture).x;
      const top = mostLikely(logits, names, Math.min(TOP, names.length));
      return { top, inverted, seconds };
    }),

  time: () =>
    inTurn(async (superseded) => {
      const { net, looker } = current();
      if (!last || !opened) throw new NfgradError("classify: no picture was looked at");
      return timeParts(await opened, net, looker, last, {
        onParts: (parts, of) => send("timing", { parts, of }),
        stopped: superseded,
      });
    }),
};
const send = answer<Events>(handlers);
