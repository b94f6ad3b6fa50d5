// Files of parameters as users have them: each that is to load gives the case's parameters bit for bit, each that is to
// be refused is refused as a wrong file, and the loaded parameters give the case's logits.
import { FormatError, type Gpu, io, NfgradError, nn, tree } from "../../src/index.ts";
import type { Category, Outcome } from "../category.ts";
import { byName, compute, input, onlyInputs, tensor } from "../compute.ts";
import { settings } from "../config.ts";
import type { Case, Goldens, ManifestCase } from "../goldens.ts";
import { difference } from "../json.ts";
import { type Actual, failed, type Judgement, judgeEqual } from "../judge.ts";
import { isObject } from "../manifest.ts";
import { nfnetOptions } from "../nfnetOptions.ts";

export const checkpoints: Category = {
  side: "own",
  async run(gpu, given, goldens) {
    if ("files" in given.config) return modelCase(gpu, given, goldens);
    settings(given.config).end();
    onlyInputs(given, []);
    return { outputs: await oddArrays(given, goldens) };
  },
};

const FOLDER = "checkpoints";
const KINDS = ["load", "odd", "refuse"];

function filesOf({ config }: Pick<ManifestCase, "config">): Record<string, readonly string[]> {
  const { files } = config;
  if (!isObject(files)) throw new FormatError("config files is not an object");
  const lists = Object.entries(files).map(([kind, names]) => {
    if (!KINDS.includes(kind)) throw new FormatError(`unknown key config.files.${kind}`);
    if (Array.isArray(names) && names.every((name) => typeof name === "string"))
      return [kind, names as string[]] as const;
    throw new FormatError(`config files.${kind} is not a list of names`);
  });
  return Object.fromEntries(lists);
}

async function modelCase(gpu: Gpu, given: Case, goldens: Goldens): Promise<Outcome> {
  const config = settings(given.config, ["files", "dill", "note", "batch", "imsize"]);
  const model = nn.nfnet(nfnetOptions(config));
  config.end();
  onlyInputs(given, ["x", "p/"]);
  const { load = [], refuse = [] } = filesOf(given);
  const judged: Record<string, Judgement> = {};
  if (given.side !== null) judged.names = exactNames(Object.values(model.names), given.side);
  const params = gpu.init(model.spec, { zeros: true });
  try {
    for (const file of load)
      judged[`load/${file}`] = await loads(gpu, given, model, params, file, goldens);
    for (const file of refuse) judged[`refuse/${file}`] = await refuses(model, file, goldens);
    // What the last file gave. Without one the zeros are judged, and fail.
    const outputs = await compute(gpu, () => {
      return { logits: model(params, tensor(gpu, given, "x"), { train: false }) };
    });
    return { outputs, judged };
  } finally {
    tree.dispose(params);
  }
}

/** `utils.py: flatten_haiku_tree`: the same names with dots. */
const flattened = (name: string) => name.replaceAll("/~/", ".").replaceAll("/", ".");

function exactNames(names: readonly string[], theirs: unknown): Judgement {
  const ours = Object.fromEntries(names.map((name) => [name, flattened(name)]));
  const note = difference(ours, theirs);
  return { ...failed("json", note ?? ""), pass: note === null, e: note === null ? 0 : 1 };
}

const source = async (file: string, goldens: Goldens) => goldens.readFile(`${FOLDER}/${file}`);

async function loads(
  gpu: Gpu,
  given: Case,
  model: nn.NFNet,
  params: Parameters<nn.NFNet>[0],
  file: string,
  goldens: Goldens,
): Promise<Judgement> {
  const bytes = await source(file, goldens);
  try {
    gpu.scope<void>(() => gpu.assign(params, gpu.zerosLike(params))); // nothing of the file before
    await gpu.assign(params as object, await io.loadHaiku(bytes, model));
  } catch (error) {
    if (error instanceof NfgradError) return failed("equal", error.message);
    throw error;
  }
  const values = await gpu.read(byName(model.names, params));
  const wrong: string[] = [];
  for (const [name, { data }] of Object.entries(values)) {
    const theirs = input(given, `p/${name}`).data;
    if (!judgeEqual(bits(data), bits(theirs)).pass) wrong.push(name);
  }
  const listed = Object.keys(given.in).filter((name) => name.startsWith("p/")).length;
  if (listed !== Object.keys(values).length)
    return failed("equal", `the case lists ${listed} parameters, the model has others`);
  const row = judgeEqual([wrong.length], [0]);
  return { ...row, note: wrong.length ? `${wrong.length} differ, the first is ${wrong[0]}` : "" };
}

const bits = ({ buffer, byteOffset, length }: ArrayBufferView & { readonly length: number }) =>
  new Uint32Array(buffer as ArrayBuffer, byteOffset, length);

async function refuses(model: nn.NFNet, file: string, goldens: Goldens): Promise<Judgement> {
  const bytes = await source(file, goldens);
  try {
    await io.loadHaiku(bytes, model);
  } catch (error) {
    if (error instanceof FormatError) return { ...judgeEqual([], []), note: error.message };
    return failed("equal", `expected a FormatError, got ${error}`);
  }
  return failed("equal", "expected a FormatError, it loads");
}

/** The arrays of the `odd` file that has all outputs of this case, whichever case lists it. */
async function oddArrays(given: Case, goldens: Goldens): Promise<Record<string, Actual>> {
  const files = goldens.cases
    .filter(({ category, config }) => category === given.category && "files" in config)
    .flatMap((entry) => filesOf(entry).odd ?? []);
  const missing: string[] = [];
  for (const file of files) {
    const arrays = await io.readHaiku(await source(file, goldens));
    const byLast = new Map([...arrays].map(([name, array]) => [name.split("/").at(-1)!, array]));
    const absent = Object.keys(given.out).filter((name) => !byLast.has(name));
    if (absent.length) {
      missing.push(`${file} has no ${absent[0]}`);
      continue;
    }
    const outputs: Record<string, Actual> = {};
    for (const [name, array] of byLast)
      outputs[name] = { data: await array.read(), shape: array.shape };
    return outputs;
  }
  throw new FormatError(`no odd file has these outputs: ${missing.join("; ") || "none is listed"}`);
}
