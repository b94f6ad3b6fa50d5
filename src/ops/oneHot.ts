// Labels as rows of zeros and a one.
import source from "../../shaders/oneHot.wgsl";
import { defineOp } from "../core/op.ts";
import { ShapeError } from "../errors.ts";
import { defineKernel } from "../gpu/kernel.ts";
import { wantDtype } from "./axes.ts";
import { loopThreads } from "./threads.ts";

const kernel = /* @__PURE__ */ defineKernel(source, { entry: "oneHot" });

/** u32 labels `[...]` as f32 `[..., classes]`, 1 at the label; a label out of range gives a row of zeros. */
export const oneHot = /* @__PURE__ */ defineOp({
  name: "oneHot",
  inputs: ["labels"],
  shape: ({ labels }, { classes }: { readonly classes: number }) => {
    wantDtype("oneHot", "labels", labels, "u32");
    if (!(Number.isInteger(classes) && classes >= 1)) {
      throw new ShapeError(`oneHot: classes ${classes}, expected an integer from 1`);
    }
    return [...labels.shape, classes];
  },
  forward: (run, { labels, y }, { classes }) =>
    run(kernel, { labels, y }, { size: y.size, classes }, [loopThreads(run, y.size)]),
});
