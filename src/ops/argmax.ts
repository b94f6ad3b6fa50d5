// The place of the greatest value along an axis.
import source from "../../shaders/argmax.wgsl";
import { defineOp } from "../core/op.ts";
import { sizeOf } from "../core/tensor.ts";
import { axisOf, wantDtype } from "./axes.ts";
import { kernelOf } from "./kernelOf.ts";

/**
 * Index of the greatest value along `axis`, as u32 without that axis; the first one at ties. NaN counts as greatest.
 * Not differentiable.
 */
export const argmax = /* @__PURE__ */ defineOp({
  name: "argmax",
  inputs: ["x"],
  shape: ({ x }, { axis = -1 }: { readonly axis?: number }) => {
    wantDtype("argmax", "x", x, "f32");
    const at = axisOf("argmax", axis, x);
    return { shape: x.shape.filter((_, i) => i !== at), dtype: "u32" };
  },
  forward: (run, { x, y }, { axis = -1 }) => {
    const at = axisOf("argmax", axis, x);
    const rows = x.shape[at]!;
    const cols = sizeOf(x.shape.slice(at + 1));
    const lanes = cols > 1 || rows <= 8 ? 1 : rows <= 4096 ? 8 : 64; // neighbours read neighbours
    const kernel = kernelOf(source, "argmax", { LANES: lanes }, []);
    run(kernel, { x, y }, { outputs: y.size, rows, cols }, [y.size * lanes]);
  },
});
