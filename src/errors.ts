// The engine's errors. Every room may import this file; it imports nothing.

/** Every error of the engine derives from this one: it names the operation, what was expected, what came. */
export class NfgradError extends Error {
  override name = "NfgradError";
}
/** Shapes, ranks, dtypes or attributes that an op cannot take; a value that is not a scalar. */
export class ShapeError extends NfgradError {
  override name = "ShapeError";
}
/** WGSL that does not compile; a knob, binding or Params field that matches nothing. */
export class KernelError extends NfgradError {
  override name = "KernelError";
}
/** A limit of the adapter, or of the engine, with the number. */
export class LimitError extends NfgradError {
  override name = "LimitError";
}
/** A tensor used after its memory was given back, or after its function's next call replaced it. */
export class ReleasedError extends NfgradError {
  override name = "ReleasedError";
}
/** A gradient that cannot be had. */
export class TapeError extends NfgradError {
  override name = "TapeError";
}
/** A function that cannot be recorded, or whose replay would not do what the function does. */
export class RecordError extends NfgradError {
  override name = "RecordError";
}
/** No adapter, validation, out of memory, a closed gpu, or a tensor of another one. */
export class DeviceError extends NfgradError {
  override name = "DeviceError";
}
/** The device is gone: driver crash, unplugged GPU, or destroyed by its owner. Nothing on it can be read any more. */
export class DeviceLostError extends DeviceError {
  override name = "DeviceLostError";
}
/** A file that is truncated, wrong or unsafe. */
export class FormatError extends NfgradError {
  override name = "FormatError";
}
/** An option of a command or function that does not exist or has no such value. */
export class OptionError extends NfgradError {
  override name = "OptionError";
}
