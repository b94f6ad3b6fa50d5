// What `io` exports.
export { load, type Meta, openFile, save, writeCheckpoint } from "./checkpoint.ts";
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
