// NFNet-F0 on one image of 256x256, the size it is tested at, recorded; weights are standardized in each call.
import { nn, type Shape, type Tensor, tree } from "../src/index.ts";
import { type Case, randomInput, relativeL2, sizeOf, WHOLE_BOUND } from "./case.ts";
import { countOf, fill, nfnetF64, readAll } from "./nfnet.ts";
import { f64Tape } from "./oracle.ts";

function inference(variant: string, batch: number, size: number): Case {
  const name = `inference ${variant} ${batch}x${size}x${size}`;
  const model = nn.nfnet({ variant, numClasses: 1000 });
  const shape: Shape = [batch, size, size, 3];
  return {
    name,
    flops: 2 * batch * model.countFlops(size, size).total,
    bytes: 4 * (countOf(model.spec) + sizeOf(shape)),
    quick: false,
    prepare(gpu) {
      const params = gpu.init(model.spec, { zeros: true });
      fill(gpu, name, params);
      const x = randomInput(gpu, `${name} x`, shape);
      const predict = gpu.record((images: Tensor) => model(params, images, { train: false }), {
        name,
      });
      return {
        run: () => predict(x.tensor),
        async verify() {
          const logits = await predict(x.tensor).data();
          const given = await readAll(gpu, params);
          const t = f64Tape();
          const leaf = (path: string) => t.leaf(given[path]!.shape, given[path]!.data);
          const masks = { branch: () => null, dropout: null };
          const expected = nfnetF64(t, model, leaf, t.leaf(shape, x.data), masks);
          return relativeL2(logits, expected.data) / WHOLE_BOUND;
        },
        dispose() {
          predict.dispose();
          tree.dispose([params, x.tensor]);
        },
      };
    },
  };
}

export const cases = (): Case[] => [inference("F0", 1, 256)];
