// Functions that make gradients of functions. The walk itself is the tape's.
import { ShapeError, TapeError } from "../errors.ts";
import { type GivenArgs, isArray, isHost, toHost } from "./host.ts";
import type { AnyOp, Value } from "./op.ts";
import { Tape } from "./tape.ts";
import { type Scope, type Storage, sameShape, Tensor } from "./tensor.ts";
import { leaves, map, type Tree } from "./tree.ts";
import { isTensor, replace } from "./walk.ts";

/** A value to be differentiated; beside it anything else that the function computed. */
export type Valued<Aux> = Tensor | readonly [value: Tensor, aux: Aux];
export interface ValueGrads<P, Aux> {
  readonly value: Tensor;
  /** The parameters' tree, in arenas of the parameters' layout. */
  readonly grads: P;
  readonly aux: Aux;
}

const isGiven = (x: unknown): x is Tensor => isTensor(x) || isHost(x) || isArray(x);

/** Runs `f` on a tape and pulls `dy` (null: 1, for a scalar) back to the parameters. */
function pullback<P, A extends readonly unknown[], Aux>(
  name: string,
  f: (params: P & Tree<P>, ...args: A) => Valued<Aux>,
) {
  let last: Scope | null = null;

  return (params: P, dy: Tensor | null, given: GivenArgs<A, never>): ValueGrads<P, Aux> => {
    const found = leaves(params);
    const first = found[0]?.tensor;
    if (!first) throw new TapeError(`${name}: the first argument holds no tensor`);
    const { gpu } = first;
    for (const { path, tensor } of found) {
      tensor.check(name);
      if (tensor.dtype !== "f32")
        throw new TapeError(`${name}: '${path}' is ${tensor.dtype}, expected f32`);
      if (tensor.node) {
        throw new TapeError(
          `${name}: '${path}' belongs to an outer gradient; second derivatives are not supported`,
        );
      }
    }
    const { memory } = gpu.internals;
    const outer = memory.current;
    const heir = outer ?? memory.inner(name);
    const scope = memory.inner(name);
    const tape = new Tape(gpu, scope);

    const run = (): ValueGrads<P, Aux> => {
      const inside = map(params, (t) => tape.leaf(t)) as P & Tree<P>;
      const args = replace(given, isGiven, (x) =>
        isTensor(x) ? x : gpu.tensor(toHost(x)),
      ) as unknown as A;
      const out = f(inside, ...args);
      const [value, aux] = (Array.isArray(out) ? out : [out, undefined]) as readonly [Tensor, Aux];
      checkValue(name, value, dy);

      const results = [value, ...leaves(aux).map(({ tensor }) => tensor)];
      for (const t of results) t.storage.readers++;
      const slots = gradientSlots(found.map(({ tensor }) => tensor));
      const ids = leaves(inside).map(({ tensor }) => tensor.node!.id);
      try {
        const byId = new Map(ids.map((id, i) => [id, slots[i]!]));
        const reached = tape.backward(value.node!.id, dy ?? memory.one(value.shape), byId);
        ids.forEach((id, i) => {
          if (!reached.has(id)) memory.clear(slots[i]!); // a parameter that nothing used
        });
      } finally {
        for (const t of results) t.storage.readers--;
        for (const storage of new Set(slots.map((t) => t.storage))) storage.readers--;
      }
      return {
        value: value.view({ node: null }),
        grads: map(params, (_, i) => slots[i]!),
        aux: map(aux, (t) => t.view({ node: null })),
      };
    };

    const result = memory.scoped(
      scope,
      () => {
        try {
          return run();
        } finally {
          tape.abandon();
        }
      },
      heir,
    );
    if (!outer) {
      for (const { tensor } of leaves(result)) {
        // A state that passes through unchanged was the last call's.
        if (last && tensor.storage.scope === last) memory.move(tensor.storage, heir);
      }
      if (last) memory.releaseAll(last, `the next call of this ${name}`);
      last = heir;
    }
    return result;
  };
}

function checkValue(name: string, value: unknown, dy: Tensor | null): asserts value is Tensor {
  if (!isTensor(value)) {
    throw new TapeError(`${name}: the function must return a tensor, or [tensor, anything else]`);
  }
  if (dy && !sameShape(dy.check(name).shape, value.shape)) {
    throw new ShapeError(`${name}: the value is [${value.shape}], dy is [${dy.shape}]`);
  }
  if (!dy && value.size !== 1) {
    throw new ShapeError(
      `${name}: the function must return a scalar, it returned [${value.shape}]`,
    );
  }
  if (!value.node) {
    throw new TapeError(`${name}: the value does not depend on the parameters that were given`);
  }
}

/** A place for each gradient, laid out as the parameters are. */
function gradientSlots(params: readonly Tensor[]): Tensor[] {
  const arenas = new Map<Storage, { storage: Storage; taken: Set<number> }>();
  return params.map((t) => {
    let arena = arenas.get(t.storage);
    if (!arena || arena.taken.has(t.byteOffset)) {
      // A tensor that stands at two places of the tree is two variables.
      arena = {
        storage: t.gpu.internals.memory.alloc(t.storage.bytes, "gradient"),
        taken: new Set(),
      };
      arena.storage.readers++;
      arenas.set(t.storage, arena);
    }
    const { storage, taken } = arena;
    taken.add(t.byteOffset);
    return new Tensor(t.gpu, storage, t.byteOffset, t.shape, "f32");
  });
}

/**
 * A function that computes `f`'s value and its gradient by the first argument, a tree of tensors. `f` returns a scalar, or
 * `[scalar, aux]`. Host data is accepted where `f` takes a tensor. Called at top level, its results last until its next
 * call.
 *
 * @throws (the function) ShapeError if the value is not a scalar, TapeError if it does not depend on the parameters.
 */
export function valueAndGrad<P, A extends readonly unknown[], Aux = undefined>(
  f: (params: P & Tree<P>, ...args: A) => Valued<Aux>,
): (params: P & Tree<P>, ...args: GivenArgs<A, never>) => ValueGrads<P, Aux> {
  const pull = pullback<P, A, Aux>("valueAndGrad", f);
  return (params, ...args) => pull(params, null, args);
}

/** The gradient alone: see `valueAndGrad`. */
export function grad<P, A extends readonly unknown[]>(
  f: (params: P & Tree<P>, ...args: A) => Tensor,
): (params: P & Tree<P>, ...args: GivenArgs<A, never>) => P {
  const pull = pullback<P, A, undefined>("grad", f);
  return (params, ...args) => pull(params, null, args).grads;
}

/** The gradient of `<f(params, ...args), dy>` by the parameters, for a value of any shape: see `valueAndGrad`. */
export function vjp<P, A extends readonly unknown[], Aux = undefined>(
  f: (params: P & Tree<P>, ...args: A) => Valued<Aux>,
): (params: P & Tree<P>, dy: Tensor, ...args: GivenArgs<A, never>) => ValueGrads<P, Aux> {
  const pull = pullback<P, A, Aux>("vjp", f);
  return (params, dy, ...args) => pull(params, dy, args);
}

/** The same values, as constants to the gradient. */
export function stopGradient(x: Tensor): Tensor {
  return x.node ? x.view({ node: null }) : x;
}

/**
 * The same function, but a tape keeps only its inputs and runs it again in the backward pass: less memory for more time.
 * All that is differentiated must come in as an argument (in any tree).
 *
 * @throws (the function) TapeError if `f` uses a tensor that is being differentiated and is not among its arguments.
 */
export function remat<A extends readonly unknown[]>(
  f: (...args: A) => Tensor,
): (...args: A) => Tensor {
  return (...args) => {
    const found = leaves(args).map(({ tensor }) => tensor);
    const tape = found.find((t) => t.node)?.node?.tape;
    if (!tape) return f(...args);
    const inputs = found.map((_, i) => `x${i}`);
    const op: AnyOp = {
      name: `remat of ${f.name || "a function"}`,
      inputs,
      outputs: ["y"],
      hidden: [],
      saves: inputs,
      passes: [],
      turns: [],
      backward: null,
      reference: (named) => f(...map(args, (_, i) => named[`x${i}`] as Tensor)),
    };
    const values: Record<string, Value> = {};
    found.forEach((t, i) => {
      values[`x${i}`] = t;
    });
    const plain = map(args, (t) => t.view({ node: null }));
    const y = tape.gpu.scope(() => f(...plain) as Tensor & Tree<Tensor>);
    if (y.node) {
      throw new TapeError(
        `${op.name}: it uses a tensor that is being differentiated; pass it as an argument`,
      );
    }
    values.y = y;
    tape.add(op, values, {});
    return values.y as Tensor;
  };
}
