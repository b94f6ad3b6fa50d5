// Decoding in Node: pictures of every kind that Pillow 13 wrote, with its `Image.open(file).convert("RGB")` of them
// (for 16-bit grey, which it clips, the high bytes); broken and unknown files.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { FormatError, io } from "../../src/index.ts";
import { crc32 } from "../../src/io/crc32.ts";
import { decodeImage } from "../../src/platform/node/index.ts";
import { checkSize } from "../../src/platform/types.ts";

interface Sample {
  readonly file: Uint8Array<ArrayBuffer>;
  readonly rgb: Uint8Array<ArrayBuffer>;
}
const stored: Record<string, { file: string; rgb: string }> = JSON.parse(
  readFileSync(new URL("pictures.json", import.meta.url), "utf8"),
);
const bytes = (text: string) => Uint8Array.from(Buffer.from(text, "base64"));
const samples = new Map<string, Sample>(
  Object.entries(stored).map(([name, { file, rgb }]) => [
    name,
    { file: bytes(file), rgb: bytes(rgb) },
  ]),
);
const [WIDTH, HEIGHT] = [11, 7];

test.each([...samples.keys()])("%s", async (name) => {
  const { file, rgb } = samples.get(name)!;
  const image = await io.readImage(file, name);
  expect([image.width, image.height]).toEqual([WIDTH, HEIGHT]);
  expect([...image.data]).toEqual([...rgb]);
});

test("alpha is kept beside the colours", async () => {
  const { data } = await decodeImage(samples.get("alpha.png")!.file, "a");
  expect([data[3], data[7], data[4 * 10 + 3]]).toEqual([0, 25, 250]);
  const opaque = await decodeImage(samples.get("CMYK.jpg")!.file, "b");
  expect(opaque.data[3]).toBe(255);
});

describe("refused", () => {
  const decode = (file: Uint8Array<ArrayBuffer>) => io.readImage(file, "x");
  const rejects = async (file: Uint8Array<ArrayBuffer>, message: RegExp) => {
    await expect(decode(file)).rejects.toThrow(message);
    await expect(decode(file)).rejects.toThrow(FormatError);
  };
  const KINDS = ["colour.jpg", "progressive.jpg", "colour.png", "colour.webp"];

  test.each(KINDS)("%s, truncated anywhere", async (name) => {
    const { file } = samples.get(name)!;
    for (const part of [0.2, 0.3, 0.6, 0.9, 0.98])
      await rejects(
        file.slice(0, file.length * part),
        /^x: broken or truncated (JPEG|PNG|WebP): ./,
      );
  });
  test("data that do not fit their checksums, or a header that lies", async () => {
    const png = samples.get("colour.png")!.file.slice();
    png[60]! ^= 0x55;
    await rejects(png, /broken or truncated PNG/);
    const jpeg = samples.get("colour.jpg")!.file.slice();
    jpeg.fill(0, jpeg.length / 2);
    await rejects(jpeg, /broken or truncated JPEG/);
  });
  test("other formats, and nothing", async () => {
    await rejects(
      Uint8Array.of(0x47, 0x49, 0x46, 0x38),
      /a JPEG, PNG or WebP picture.* 47 49 46 38/,
    );
    const svg = new TextEncoder().encode("<svg xmlns='http://www.w3.org/2000/svg'/>");
    await rejects(
      svg,
      /^x: expected a JPEG, PNG or WebP picture, the file starts with 3c 73 76 67/,
    );
    await rejects(new Uint8Array(), /starts with nothing/);
  });
  test("too many pixels, before they are decoded", async () => {
    const huge = samples.get("colour.png")!.file.slice();
    const view = new DataView(huge.buffer);
    for (const at of [16, 20]) view.setUint32(at, 60000); // width and height in the first chunk
    view.setUint32(29, crc32(huge.subarray(12, 29)));
    await rejects(huge, /^x: expected a picture of up to 134217728 pixels, it has 60000x60000/);
    expect(() => checkSize(2 ** 14, 2 ** 13 + 1, "x")).toThrow(
      /up to 134217728 pixels, .* 16384x8193/,
    );
    expect(() => checkSize(2 ** 14, 2 ** 13, "x")).not.toThrow();
  });
});
