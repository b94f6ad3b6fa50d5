// What tests need to see behind tensors. Not part of the public surface.
import type { Tensor } from "./tensor.ts";

/** The whole buffer of a tensor, the bytes behind it included; for tests. */
export async function readStorage(t: Tensor): Promise<Uint32Array> {
  const { gpu, bytes } = t.storage.buf;
  const raw = await t.gpu.internals.recorder.read([{ buffer: gpu, offset: 0, bytes }]);
  return new Uint32Array(raw);
}
