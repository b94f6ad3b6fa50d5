// Who reads a drawing: the network in training, or one that was trained before. In the worker.
import type { Gpu } from "../../src/index.ts";
import { randomAccess } from "../../src/io/source.ts";
import { type Classifier, probabilities } from "../../src/train/classifier.ts";
import { centred, imageOf } from "../../src/train/picture.ts";
import { type Looker, loadPretrained, openPretrained } from "../../src/train/pretrained.ts";
import type { Drawing, Reader } from "./protocol.ts";

/** Reads drawings on this device; `checkpoint` is fetched when the trained network is asked first. */
export function drawingReader(gpu: Gpu, checkpoint: () => Promise<Blob>) {
  let trained: Looker | null = null;
  /** Probabilities of the classes, or null for an empty drawing. `net`: the network in training. */
  return async (drawing: Drawing, reader: Reader, net: Classifier): Promise<number[] | null> => {
    const picture = centred(drawing);
    if (!picture) return null;
    if (reader === "clipped") {
      const { image } = imageOf(picture, net.description.image);
      return probabilities(await net.logits(image));
    }
    trained ??= await loadPretrained(gpu, await openPretrained(randomAccess(await checkpoint())));
    return probabilities((await trained.look(picture)).logits);
  };
}
