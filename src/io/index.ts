// What `io` exports.
export { load, type Meta, openFile, save, writeCheckpoint } from "./checkpoint.ts";
export {
  type HaikuFile,
  type HaikuNamed,
  type HaikuOptions,
  loadHaiku,
  openHaiku,
  readHaiku,
  saveHaiku,
  writeHaiku,
} from "./haiku.ts";
export {
  cropImage,
  demoImage,
  demoSteps,
  type EvalPreproc,
  evalImage,
  MEAN_RGB,
  normalizeImage,
  readImage,
  STDDEV_RGB,
} from "./images.ts";
export {
  type Box,
  cutmix,
  cutmixBox,
  type Labeled,
  type Mixed,
  type MixupOptions,
  mixedTargets,
  mixup,
  mixupCutmix,
} from "./mix.ts";
export type { FileFormat } from "./named.ts";
export { type NpzEntry, readNpz } from "./npz.ts";
export {
  type ImageInput,
  type RgbImage,
  resizeLikePillow,
  resizeLikeTensorflow,
} from "./resize.ts";
export {
  type ByteSource,
  type Dtype,
  type HostData,
  type HostTensor,
  type RandomAccess,
  readSafetensors,
  type SafetensorsEntry,
  type SafetensorsFile,
} from "./safetensors.ts";
