// A function recorded once and replayed: same commands, other arguments. The first call records; the second runs the
// function again and must give the same commands, which catches a learning rate or seed that was baked in; from the third
// on the list is replayed.
import { DeviceError, RecordError, ReleasedError } from "../errors.ts";
import { PrivatePool } from "../gpu/buffers.ts";
import type { Command, Upload } from "../gpu/commands.ts";
import type { Pipeline } from "../gpu/pipelines.ts";
import type { Gpu } from "./gpu.ts";
import { checkHost, dtypeOf, type GivenArgs, type Host, isArray, isHost, toHost } from "./host.ts";
import { compare, type Recording, withoutUnread } from "./recording.ts";
import { type DType, type Lease, Scope, type Shape, type Storage, Tensor } from "./tensor.ts";
import { leaves, map } from "./tree.ts";
import { isTensor, replace } from "./walk.ts";

/** Inside a recording numbers arrive as scalar tensors; booleans, strings and null choose the recording. */
type NoNumber<T> = T extends number
  ? never
  : T extends Tensor
    ? T
    : T extends object
      ? { [K in keyof T]: NoNumber<T[K]> }
      : T;
/** A synchronous function without numbers among its parameters. */
export type Recordable<A extends readonly unknown[], R> = ((
  ...args: A
) => R extends PromiseLike<unknown> ? never : R) &
  (A extends NoNumber<A> ? unknown : never);

export interface Recorded<A extends readonly unknown[], R> {
  /** Host data and numbers are accepted for tensors. The result lasts until the next call. */
  (...args: GivenArgs<A>): R;
  /** Gives all memory of the recordings back. */
  dispose(): void;
}

export interface RecordOptions {
  /** For messages; default: the function's name. */
  readonly name?: string;
  /** false: a real call each time, with the same ownership and the same bits; for debugging. Default true. */
  readonly replay?: boolean;
  /** false: the second call is not compared with the first. Default true. */
  readonly check?: boolean;
}

type Given = Tensor | Host;
const isGiven = (x: unknown): x is Tensor | Host | Float32Array<ArrayBuffer> | number =>
  isTensor(x) || isHost(x) || isArray(x) || typeof x === "number";
const typeOf = (x: Given): { shape: Shape; dtype: DType } =>
  x instanceof Tensor ? x : { shape: x.shape, dtype: dtypeOf(x.data) };

/** What `compile` needs of a recorded function. */
const PIPELINES = Symbol("pipelines");
interface Internal {
  [PIPELINES](args: readonly unknown[]): { gpu: Gpu; pipelines: Pipeline[] };
}

/** See `Gpu.record`. */
export function record<A extends readonly unknown[], R>(
  gpu: Gpu,
  fn: (...args: A) => R,
  { name, replay = true, check = true }: RecordOptions,
): Recorded<A, R> {
  const label = name ?? (fn.name || "a recorded function");
  const { recorder, memory } = gpu.internals;
  const pool = new PrivatePool(memory.pool);
  const recordings = new Map<string, Recording>();
  let lease: Lease | null = null;
  let last: Scope | null = null;

  /** The function's arguments with memory of their own, filled. */
  const bindInputs = (args: readonly unknown[], values: readonly Given[]) => {
    const inputs: Tensor[] = [];
    const bound = replace(args, isGiven, (_, i) => {
      const { shape, dtype } = typeOf(values[i]!);
      const t = memory.empty(shape, dtype, `argument ${i} of ${label}`, "input");
      t.storage.readers = 1; // a tape inside must not give it back
      inputs.push(t);
      return t;
    });
    return { inputs, bound: bound as A };
  };
  const load = (inputs: readonly Tensor[], values: readonly Given[]) => {
    inputs.forEach((t, i) => {
      const v = values[i]!;
      if (v instanceof Tensor) memory.copy(v, t);
      else memory.upload(t, v.data);
    });
  };

  /** Runs the function; its commands are kept, not submitted. A failed run leaves nothing. */
  const trace = (
    args: readonly unknown[],
    values: readonly Given[],
    recording: boolean,
  ): Recording => {
    const scope = new Scope(label, recording ? pool : memory.pool, null, recording);
    const outer = memory.externals;
    const externals = new Set<Storage>();
    memory.externals = externals;
    try {
      const { result: made, commands } = recorder.collect(() => {
        let inputs: readonly Tensor[] = [];
        const result = memory.scoped(
          scope,
          () => {
            const given = bindInputs(args, values);
            inputs = given.inputs;
            return fn(...given.bound);
          },
          scope,
        );
        for (const { tensor } of leaves(result)) {
          if (tensor.storage.role === "input")
            throw new RecordError(`${label}: returns one of its arguments`);
          if (recording) pool.hold(tensor.storage.buf);
        }
        return { inputs, result };
      });
      const isUpload = (c: Command): c is Upload => c.kind === "upload";
      return {
        ...made,
        constants: commands.filter(isUpload),
        commands: withoutUnread(
          commands.filter((c) => !isUpload(c)),
          [...externals, ...leaves(made.result).map(({ tensor }) => tensor.storage)],
        ),
        externals,
        scope,
        checked: !check,
      };
    } catch (error) {
      memory.releaseAll(scope, `a failed ${label}`);
      if (recordings.size === 0) pool.close();
      throw error;
    } finally {
      memory.externals = outer;
    }
  };

  const lend = (result: unknown): R => {
    if (lease) lease.valid = false;
    const next: Lease = { valid: true, of: label };
    lease = next;
    return map(result, (t) => t.view({ node: null, lease: next })) as R;
  };

  const start = ({ constants, commands, inputs }: Recording, values: readonly Given[]) => {
    load(inputs, values);
    recorder.play(constants);
    recorder.play(commands);
  };

  const eager = (args: readonly unknown[], values: readonly Given[]): R => {
    // Not collected: reads inside the function must find what was computed before them.
    const scope = new Scope(label, memory.pool, null, false);
    try {
      const result = memory.scoped(
        scope,
        () => {
          const { inputs, bound } = bindInputs(args, values);
          load(inputs, values);
          const out = fn(...bound);
          for (const t of inputs) t.storage.readers--;
          return out;
        },
        scope,
      );
      for (const { tensor } of leaves(result)) {
        if (tensor.storage.role === "input")
          throw new RecordError(`${label}: returns one of its arguments`);
      }
      if (last) memory.releaseAll(last, `the next call of ${label}`);
      last = scope;
      return lend(result);
    } catch (error) {
      memory.releaseAll(scope, `a failed ${label}`);
      throw error;
    }
  };

  /** All host values and tensors of a call, checked. */
  const gather = (args: readonly unknown[]): Given[] => {
    const values: Given[] = [];
    replace(args, isGiven, (x) => {
      const v = isTensor(x) ? x.check(label) : toHost(x);
      if (v instanceof Tensor) {
        if (v.gpu !== gpu) throw new DeviceError(`${label}: an argument belongs to another gpu`);
        if (v.storage.role === "arena") {
          throw new RecordError(
            `${label}: an argument is a parameter; arguments are copied in at every call, so let the ` +
              "function capture its parameters",
          );
        }
      } else checkHost(label, v);
      values.push(v);
      return x;
    });
    const bytes = values.map((v) => (v instanceof Tensor ? 0 : v.data.byteLength));
    recorder.admit(
      bytes.reduce((n, b) => n + b, 0),
      label,
    );
    return values;
  };
  const keyOf = (args: readonly unknown[], values: readonly Given[]): string =>
    JSON.stringify(
      replace(args, isGiven, (_, i) => {
        const { dtype, shape } = typeOf(values[i]!);
        return `${dtype}[${shape}]`;
      }),
    );

  const call = (...args: unknown[]): R => {
    const inside = leaves(args).some(({ tensor }) => tensor.node) || memory.current?.recording;
    if (inside) return fn(...(tensors(gpu, args) as A)); // part of a larger recording, or of a tape
    gpu.internals.device.check(label);
    const values = gather(args);
    if (!replay) return eager(args, values);
    const key = keyOf(args, values);
    const known = recordings.get(key);
    if (known?.checked) {
      for (const s of known.externals) {
        if (s.ended === null) continue;
        throw new ReleasedError(
          `${label}: ${s.label}, captured when it was recorded, was released by ${s.ended}`,
        );
      }
      load(known.inputs, values);
      recorder.play(known.commands);
      return lend(known.result);
    }
    pool.rewind();
    const made = trace(args, values, true);
    if (known) {
      try {
        compare(label, known, made);
      } catch (error) {
        memory.releaseAll(made.scope, `a failed ${label}`);
        throw error;
      }
      made.checked = true;
    }
    recordings.set(key, made);
    start(made, values);
    const result = lend(made.result);
    if (known) memory.releaseAll(known.scope, `the second call of ${label}`);
    return result;
  };

  const internal: Internal & { dispose(): void } = {
    [PIPELINES](args) {
      const values = gather(args);
      pool.rewind();
      const { commands, scope } = trace(args, values, true);
      memory.releaseAll(scope, `compile of ${label}`);
      if (recordings.size === 0) pool.close();
      const found = new Set<Pipeline>();
      for (const c of commands) if (c.kind === "dispatch") found.add(c.pipeline);
      return { gpu, pipelines: [...found] };
    },
    dispose() {
      for (const { scope } of recordings.values())
        memory.releaseAll(scope, `dispose() of ${label}`);
      recordings.clear();
      pool.close();
      if (last) memory.releaseAll(last, `dispose() of ${label}`);
      last = null;
    },
  };
  return Object.assign(call, internal) as unknown as Recorded<A, R>;
}

/** Host data of a nested call as tensors of the running function. */
function tensors(gpu: Gpu, args: readonly unknown[]): unknown {
  return replace(args, isGiven, (x) => (isTensor(x) ? x : gpu.tensor(toHost(x))));
}

/** See `Gpu.compile`. */
export async function compile(
  fn: unknown,
  args: readonly unknown[],
  onProgress?: (done: number, all: number) => void,
): Promise<void> {
  const { gpu, pipelines } = (fn as Internal)[PIPELINES](args);
  const { recorder } = gpu.internals;
  await recorder.warm(pipelines, onProgress);
  const failed = pipelines.find((p) => p.failed)?.failed;
  if (failed) throw failed;
  await recorder.sync();
}
