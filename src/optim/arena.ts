// What optimizers share: parameters and gradients as flat arenas, and scalars that may change from replay to replay.
// Knows no update rule.
import units from "../../shaders/lib/units.wgsl";
import barrier from "../../shaders/lib/units_barrier.wgsl";
import subgroup from "../../shaders/lib/units_subgroup.wgsl";
import type { Gpu } from "../core/gpu.ts";
import type { Tensor } from "../core/tensor.ts";
import { type Layout, layout, leaves, pack } from "../core/tree.ts";
import { DeviceError, OptionError, ShapeError } from "../errors.ts";
import type { Kernel, KernelOptions, KnobValue } from "../gpu/kernel.ts";
import type { Span } from "./blocks.ts";

/** A number is a constant of a recording; a tensor of one element may change from replay to replay. */
export type Scalar = number | Tensor;

/** Updates parameters in place. */
export interface Optimizer<P, S = unknown> {
  /** What it updates. */
  readonly params: P;
  /**
   * One step. `grads` has a tensor at each parameter's path; others are not looked at. Gradients that lie like the
   * parameters, as those of `grad` do, are used where they are, others are copied together first.
   *
   * @throws ShapeError for a missing gradient, a wrong shape or dtype; ReleasedError; DeviceError for another gpu's;
   * OptionError for a learning rate that is no finite number, a `step` that is needed and missing, or a parameter as
   * its own gradient.
   */
  update(grads: P, rates: { readonly lr: Scalar; readonly step?: Scalar }): void;
  /** Buffers by name, each a tree with the parameters' paths: save it beside the parameters. */
  readonly state: S;
  /** The moving average of the parameters, if it was asked for. */
  readonly ema?: P;
  /** Gives back state, average and tables; the parameters stay. */
  dispose(): void;
}

/** The parameters of an optimizer, by arena. */
export interface Plan {
  readonly op: string;
  readonly gpu: Gpu;
  readonly places: Layout["places"];
  readonly arenas: readonly { readonly w: Tensor; readonly spans: readonly Span[] }[];
}

/**
 * Where the parameters lie.
 * @throws OptionError without any, or where two share memory; ShapeError for one that is not f32.
 */
export function planOf(op: string, params: unknown): Plan {
  const { arenas, places } = layout(params);
  const gpu = places[0]?.tensor.gpu;
  if (!gpu) throw new OptionError(`${op}: no parameters`);
  for (const { path, tensor } of places) {
    if (tensor.gpu !== gpu) throw new DeviceError(`${op}: '${path}' belongs to another gpu`);
    if (tensor.dtype !== "f32")
      throw new ShapeError(`${op}: '${path}' is ${tensor.dtype}, expected f32`);
  }
  const spans = arenas.map((w, i) => ({
    w,
    spans: spansOf(
      op,
      places.filter((p) => p.arena === i),
    ),
  }));
  return { op, gpu, places, arenas: spans };
}

function spansOf(op: string, places: Layout["places"]): Span[] {
  const byOffset = [...places].sort((a, b) => a.offset - b.offset);
  byOffset.forEach((place, i) => {
    const before = byOffset[i - 1];
    if (before && before.offset + before.tensor.size > place.offset)
      throw new OptionError(`${op}: '${before.path}' and '${place.path}' are the same memory`);
  });
  return places.map(({ path, tensor, offset }) => ({ path, shape: tensor.shape, offset }));
}

/** The arenas of a tree that lies like the parameters, in their order. */
export function arenasLike({ places, arenas }: Plan, tree: unknown): Tensor[] {
  const found = layout(tree);
  const byPath = new Map(found.places.map(({ path, arena }) => [path, found.arenas[arena]!]));
  return arenas.map((_, i) => byPath.get(places.find((p) => p.arena === i)!.path)!);
}

/** The gradients as arenas that lie like the parameters'; copied there if they do not. Run it in a scope. */
export function gradientArenas(plan: Plan, grads: unknown): Tensor[] {
  const { op, gpu, places } = plan;
  const given = new Map(leaves(grads).map(({ path, tensor }) => [path, tensor]));
  const wanted: Record<string, Tensor> = {};
  const like: Record<string, Tensor> = {};
  for (const { path, tensor } of places) {
    const g = given.get(path);
    if (!g) throw new ShapeError(`${op}: no gradient for '${path}'`);
    const [is, expected] = [`${g.dtype} [${g.shape}]`, `f32 [${tensor.shape}]`];
    if (is !== expected)
      throw new ShapeError(`${op}: the gradient of '${path}' is ${is}, the parameter ${expected}`);
    if (g.gpu !== gpu)
      throw new DeviceError(`${op}: the gradient of '${path}' belongs to another gpu`);
    if (g === tensor) throw new OptionError(`${op}: the gradient of '${path}' is the parameter`);
    wanted[path] = g.check(`${op}: the gradient of '${path}'`);
    like[path] = tensor;
  }
  return arenasLike(plan, pack(wanted, like));
}

/**
 * Checks a scalar before any work.
 * @throws OptionError for a number that is not finite, ShapeError for a tensor of more elements or of u32.
 */
export function checkScalar({ op, gpu }: Plan, name: string, value: Scalar): void {
  if (typeof value === "number") {
    if (Number.isFinite(value)) return;
    throw new OptionError(`${op}: ${name} is a finite number or a tensor, got ${value}`);
  }
  if (value.dtype !== "f32" || value.size !== 1)
    throw new ShapeError(
      `${op}: ${name} is one f32, got a tensor of ${value.dtype} [${value.shape}]`,
    );
  if (value.gpu !== gpu) throw new DeviceError(`${op}: ${name} belongs to another gpu`);
  value.check(`${op}: ${name}`);
}

/** A scalar as a tensor. Run it in a scope. */
export const scalarTensor = (gpu: Gpu, value: Scalar): Tensor =>
  typeof value === "number" ? gpu.tensor(Float32Array.of(value), []) : value;

/** Kernels by switches, made when first needed and the same object ever after. */
export function kernelTable<A extends readonly KnobValue[]>(
  make: (...switches: A) => Kernel,
): (...switches: A) => Kernel {
  const made = new Map<string, Kernel>();
  return (...switches) => {
    const key = switches.join();
    let kernel = made.get(key);
    if (!kernel) {
      kernel = make(...switches);
      made.set(key, kernel);
    }
    return kernel;
  };
}

/** lib/units.wgsl for a kernel whose workgroups are whole subgroups, or not. */
export const unitsOver = (subgroups: boolean): Required<Pick<KernelOptions, "uses" | "enables">> =>
  subgroups
    ? { uses: [units, subgroup], enables: ["subgroups"] }
    : { uses: [units, barrier], enables: [] };
