// Top-k accuracy: ties, NaN, labels out of range, shapes.
import { ops, ShapeError } from "../../src/index.ts";
import { type Case, equal, throws } from "../harness.ts";

const hitsAndMisses: Case = {
  name: "topKAccuracy: ties go to the later class, NaN and strange labels count as wrong",
  async run(gpu) {
    const rows = [
      [3, 1, 2, 0],
      [1, 1, 1, 1],
      [0, 2, 2, 1],
      [Number.NaN, 1, 2, 3],
      [5, 4, 3, 2],
      [-1, Number.NEGATIVE_INFINITY, -2, -3],
    ];
    const logits = gpu.tensor(Float32Array.from(rows.flat()), [6, 4]);
    const labels = gpu.tensor(Uint32Array.of(0, 3, 1, 0, 7, 1));
    const hits = async (k: number) => {
      const hit = ops.topKAccuracy(logits, labels, { k });
      const data = [...(await hit.data())];
      hit.dispose();
      return data;
    };
    equal("top 1", await hits(1), [1, 1, 0, 0, 0, 0]);
    equal("top 2", await hits(2), [1, 1, 1, 0, 0, 0]);
    equal("top 4", await hits(4), [1, 1, 1, 0, 0, 1]);
    for (const t of [logits, labels]) t.dispose();
  },
};

const errors: Case = {
  name: "topKAccuracy refuses what it cannot take",
  async run(gpu) {
    const [x, labels, few] = [gpu.zeros([2, 3]), gpu.zeros([2], "u32"), gpu.zeros([3], "u32")];
    const bad = (what: string, make: () => unknown, message: RegExp) =>
      throws(what, make, ShapeError, message);
    await bad("k", () => ops.topKAccuracy(x, labels, { k: 0 }), /k 0 expects an integer/);
    await bad("n", () => ops.topKAccuracy(x, few, { k: 1 }), /\[2,3\] and labels \[3\]/);
    await bad(
      "labels",
      () => ops.topKAccuracy(x, x, { k: 1 }),
      /labels is f32 \[2,3\], expected u32/,
    );
    for (const t of [x, labels, few]) t.dispose();
  },
};

export const cases: readonly Case[] = [hitsAndMisses, errors];
