// The public surface, and nothing else.
export type { Run, Threads } from "./core/dispatch.ts";
export type { DispatchInfo, Gpu, MemoryReport } from "./core/gpu.ts";
export {
  grad,
  remat,
  stopGradient,
  type Valued,
  type ValueGrads,
  valueAndGrad,
  vjp,
} from "./core/grad.ts";
export type { Given, GivenArgs, Host, HostArray, HostTree, Lazy, LazyTree } from "./core/host.ts";
export type { Initializer, InitOptions, ParamSpec, Params, SpecTree } from "./core/init.ts";
export { defineOp } from "./core/op.ts";
export { type OpenOptions, openGpu } from "./core/open.ts";
export type { Op, OpSpec } from "./core/opTypes.ts";
export * as random from "./core/random.ts";
export type { Recorded, RecordOptions } from "./core/record.ts";
export { type DType, type Shape, Tensor } from "./core/tensor.ts";
export type { Layout, Leaf, Tree } from "./core/tree.ts";
export * as tree from "./core/tree.ts";
export * from "./errors.ts";
export type { Counts } from "./gpu/commands.ts";
export type { AdapterInfo, Feature } from "./gpu/device.ts";
export type { Timing } from "./gpu/encode.ts";
export { defineKernel, type Kernel, type KernelOptions, type KnobValue } from "./gpu/kernel.ts";
export * as io from "./io/index.ts";
export * as nn from "./nn/index.ts";
export * as ops from "./ops/index.ts";
export * as tuning from "./ops/tuning.ts";
export * as optim from "./optim/index.ts";
