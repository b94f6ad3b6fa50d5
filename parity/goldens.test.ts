// The fill rule's worked values, and the reader: every committed case is understood, and nothing unknown is passed over.
import { expect, test } from "vitest";
import { fill, fillBits, fillInt, nameHash, parameterRule } from "./fill.ts";
import { openGoldens, readCase } from "./goldens.ts";

const GOLDEN = new URL("golden", import.meta.url).pathname;

test("the fill rule gives the worked values, bit for bit", () => {
  const h0 = nameHash("demo/x");
  expect(h0).toBe(1499093273);
  const bits = [1057865807, 4231470124, 1589694031, 1737255919, 3789546099];
  expect(bits.map((_, i) => fillBits(h0, i))).toEqual(bits);
  const words = (values: Float32Array<ArrayBuffer>) => [...new Uint32Array(values.buffer)];
  expect(words(fill("demo/x", 5))).toEqual([
    0xbf60fb04, 0x3fd725ad, 0xbee65748, 0xbea967a2, 0x3fa98611,
  ]);
  expect(words(fill("demo/x", 5, 1, 0.1))).toEqual([
    0x3f698080, 0x3f9583c4, 0x3f747ba3, 0x3f77879e, 0x3f90f3ce,
  ]);
  expect([...fillInt("demo/x", 5, 10)]).toEqual([2, 9, 3, 4, 8]);
});

test("parameters are filled by the last part of their name", () => {
  const rule = (name: string) => parameterRule(`NFNet/~/${name}`, [3, 3, 4, 6]);
  expect(rule("conv0/w")).toEqual({ mean: 0, std: 1 / 6 });
  expect(rule("conv0/gain")).toEqual({ mean: 1, std: 0.1 });
  expect(rule("batch_norm/scale")).toEqual({ mean: 1, std: 0.1 });
  expect(rule("nf_block/skip_gain")).toEqual({ mean: 0.5, std: 0.1 });
  for (const name of ["bias", "b", "offset", "bias1a"]) {
    expect(rule(`conv0/${name}`)).toEqual({ mean: 0, std: 0.1 });
  }
});

test("every committed case is read without a problem", async () => {
  const goldens = await openGoldens(GOLDEN);
  expect(goldens.cases.length).toBeGreaterThan(150);
  for (const { id } of goldens.cases) expect((await goldens.readCase(id)).problems, id).toEqual([]);
});

test("a case by hand has its inputs, outputs and settings", async () => {
  const given = await readCase(GOLDEN, "ws-25");
  expect(given.config).toMatchObject({ kernel: 3, groups: 2 });
  expect(given.in.x?.shape).toEqual([2, 6, 6, 64]);
  expect(given.out.y).toMatchObject({ shape: [2, 6, 6, 64], strided: false });
  expect(given.out.ws).toMatchObject({ shape: [3, 3, 32, 64], strided: true, k: 11 });
  expect(given.out.ws?.f64?.length).toBe(Math.ceil((9 * 32 * 64) / 11));
  await expect(readCase(GOLDEN, "ws-none")).rejects.toThrow("no case is named ws-none");
  await expect(openGoldens("/nowhere")).rejects.toThrow("/nowhere/manifest.json");
});
