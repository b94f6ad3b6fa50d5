// A whole residual block of NFNet-F0 (the second stage at 192x192), forward and backward through the tape.
import { type Host, nn, type Tensor, tree, vjp } from "../src/index.ts";
import { type Case, randomInput, relativeL2, sizeOf, WHOLE_BOUND } from "./case.ts";
import { blockF64, countOf, fill, readAll } from "./nfnet.ts";
import { f64Tape } from "./oracle.ts";

/** Standardized weights, two grouped 3x3, squeeze-and-excite, skip gain; what is given and wanted: x, dy; y and all gradients. */
function block(batch: number, size: number, channels: number): Case {
  const name = `block ${batch}x${size}x${size}x${channels} forward + backward`;
  const shape = [batch, size, size, channels];
  const f = nn.nfBlock({ inCh: channels, outCh: channels, beta: 1 / Math.sqrt(1.04), alpha: 0.2 });
  return {
    name,
    flops: 3 * 2 * batch * f.countFlops(size, size),
    bytes: 4 * (4 * sizeOf(shape) + 2 * countOf(f.spec)), // x, dy, y, dx; each weight read and its gradient written
    quick: true,
    prepare(gpu) {
      const params = gpu.init(f.spec, { zeros: true });
      fill(gpu, name, params);
      const x = randomInput(gpu, `${name} x`, shape);
      const dy = randomInput(gpu, `${name} dy`, shape);
      const pull = vjp((p: { params: typeof params; x: Tensor }) =>
        f(p.params, p.x, { train: false }),
      );
      const run = gpu.record(() => pull({ params, x: x.tensor }, dy.tensor), { name });
      return {
        run,
        async verify() {
          const { value, grads } = run();
          const [y, found] = [await value.data(), await readAll(gpu, grads)];
          const given = await readAll(gpu, params);
          const errors: number[] = [];
          const t = f64Tape();
          const leaf = (path: string, host: Host) =>
            t.leaf(host.shape, host.data, (grad) => {
              errors.push(relativeL2(found[path]!.data, grad));
            });
          const input = leaf("x", x);
          const out = blockF64(t, f.config, (path) => leaf(`params/${path}`, given[path]!), input);
          errors.push(relativeL2(y, out.data));
          t.backward(out, dy.data);
          if (errors.length !== 1 + Object.keys(found).length) return Number.NaN; // a gradient that was not compared
          return Math.max(...errors) / WHOLE_BOUND;
        },
        dispose() {
          run.dispose();
          tree.dispose([params, x.tensor, dy.tensor]);
        },
      };
    },
  };
}

export const cases = (): Case[] => [block(1, 24, 512)];
