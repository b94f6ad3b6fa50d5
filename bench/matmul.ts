// Products of square matrices.
import { ops } from "../src/index.ts";
import { type Case, randomInput, sample, worstSum } from "./case.ts";

const SIZES = [256, 512, 1024, 2048];

export const cases = (): Case[] =>
  SIZES.map((n) => {
    const name = `matmul ${n}`;
    return {
      name,
      flops: 2 * n ** 3,
      bytes: 12 * n ** 2,
      quick: n === 512 || n === 1024,
      prepare(gpu) {
        const a = randomInput(gpu, `${name} a`, [n, n]);
        const b = randomInput(gpu, `${name} b`, [n, n]);
        const run = gpu.record(() => ops.matmul(a.tensor, b.tensor), { name });
        return {
          run,
          async verify() {
            return worstSum(await run().data(), sample(name, n * n, 64), (i) => {
              let [value, magnitude] = [0, 0];
              for (let k = 0; k < n; k++) {
                const term = a.data[Math.floor(i / n) * n + k]! * b.data[k * n + (i % n)]!;
                value += term;
                magnitude += Math.abs(term);
              }
              return { value, magnitude };
            });
          },
          dispose() {
            run.dispose();
            a.tensor.dispose();
            b.tensor.dispose();
          },
        };
      },
    };
  });
