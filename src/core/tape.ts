// The tape: what ran, in order. Backward walks it once, from the end, without recursion; gradients are added up here and
// nowhere else.
import accumulateSource from "../../shaders/accumulate.wgsl";
import { TapeError } from "../errors.ts";
import { defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "./gpu.ts";
import type { Memory } from "./memory.ts";
import { type AnyOp, mapValue, tensorsOf, type Value } from "./op.ts";
import { Scope, type Storage, type Tensor } from "./tensor.ts";

const accumulate = /* @__PURE__ */ defineKernel(accumulateSource, { entry: "accumulate" });

/** One op that ran. */
interface Entry {
  readonly op: AnyOp;
  readonly values: Record<string, Value>;
  readonly attrs: unknown;
  /** Node ids of each input's tensors, and of all outputs' in order; -1 where there is no gradient. */
  readonly parents: Record<string, readonly number[]>;
  readonly ids: readonly number[];
}

const samePlace = (a: Tensor, b: Tensor): boolean =>
  a.storage === b.storage && a.byteOffset === b.byteOffset;

/** `slots`, and the leaf's place, too, for what an op makes of a leaf that only it reads and whose gradient it turns. */
function placesOf(
  entries: readonly Entry[],
  root: number,
  slots: ReadonlyMap<number, Tensor>,
): ReadonlyMap<number, Tensor> {
  if (!entries.some((e) => e.op.turns.length > 0)) return slots;
  const uses = new Map<number, number>([[root, 1]]);
  for (const { parents } of entries)
    for (const ids of Object.values(parents))
      for (const id of ids) uses.set(id, (uses.get(id) ?? 0) + 1);
  const places = new Map(slots);
  for (const { op, parents, ids } of entries) {
    for (const name of op.turns) {
      parents[name]!.forEach((id, i) => {
        const place = uses.get(id) === 1 ? places.get(id) : undefined;
        if (place && ids[i]! >= 0) places.set(ids[i]!, place);
      });
    }
  }
  return places;
}

export class Tape {
  #entries: Entry[] = [];
  #nextId = 0;
  #open = true;
  readonly #memory: Memory;

  /** `scope` owns what the tape makes, and what it may give back early. */
  constructor(
    readonly gpu: Gpu,
    readonly scope: Scope,
  ) {
    this.#memory = gpu.internals.memory;
  }

  /** A tensor as a variable of this tape. */
  leaf(t: Tensor): Tensor {
    return t.view({ node: { tape: this, id: this.#nextId++ } });
  }

  /** Throws if the tape takes no more ops. */
  check(user: string): void {
    if (!this.#open) throw new TapeError(`${user}: an input belongs to a gradient that has ended`);
  }

  /** Notes one op and puts its outputs, in `values`, on the tape. */
  add(op: AnyOp, values: Record<string, Value>, attrs: unknown): void {
    this.check(op.name);
    const parents: Record<string, readonly number[]> = {};
    for (const name of op.inputs) {
      parents[name] = tensorsOf(values[name]!).map((t) =>
        t.dtype === "f32" ? (t.node?.id ?? -1) : -1,
      );
    }
    const ids: number[] = [];
    for (const name of op.outputs) {
      const smooth = !op.hidden.includes(name);
      values[name] = mapValue(values[name]!, (t) => {
        const id = smooth && t.dtype === "f32" ? this.#nextId++ : -1;
        ids.push(id);
        return id < 0 ? t : t.view({ node: { tape: this, id } });
      });
    }
    for (const name of op.saves) for (const t of tensorsOf(values[name]!)) t.storage.readers++;
    this.#entries.push({ op, values, attrs, parents, ids });
  }

  /** Ends the tape without a backward pass: what it saved has one reader less. */
  abandon(): void {
    this.#open = false;
    for (const e of this.#entries.splice(0)) this.#forget(e);
  }

  #forget({ op, values }: Entry): void {
    for (const name of op.saves) {
      for (const t of tensorsOf(values[name]!))
        this.#drop(t.storage, `the backward pass of ${op.name}`);
    }
  }

  /** One reader less; the last one gives the memory back if it is this tape's. */
  #drop(storage: Storage, by: string): void {
    if (--storage.readers === 0 && storage.scope === this.scope) this.#memory.release(storage, by);
  }

  /**
   * From `seed` at node `root` down to the leaves. A leaf's first gradient is written straight to its place in `slots`.
   * Gives the leaves that were reached.
   */
  backward(root: number, seed: Tensor, slots: ReadonlyMap<number, Tensor>): Set<number> {
    this.#open = false;
    const entries = this.#entries.splice(0);
    const places = placesOf(entries, root, slots);
    const grads = new Map<number, Tensor>();
    seed.storage.readers++; // the caller's: never added into
    try {
      this.#arrive(root, seed, grads, places);
      for (let e = entries.pop(); e; e = entries.pop()) {
        if (e.ids.some((id) => grads.has(id))) this.#step(e, grads, places);
        this.#forget(e);
      }
      return new Set(grads.keys());
    } finally {
      for (const e of entries) this.#forget(e);
      for (const g of grads.values()) g.storage.readers--;
      seed.storage.readers--;
    }
  }

  /** A gradient for node `id`: the first is kept as it is, the next are added. */
  #arrive(
    id: number,
    g: Tensor,
    grads: Map<number, Tensor>,
    slots: ReadonlyMap<number, Tensor>,
  ): void {
    const { gpu } = this;
    const place = slots.get(id);
    const have = grads.get(id);
    if (!have) {
      const first = place ?? g;
      if (place && !samePlace(place, g)) this.#memory.copy(g, place);
      first.storage.readers++;
      grads.set(id, first);
      return;
    }
    const add = (acc: Tensor) => {
      gpu.dispatch(accumulate, { acc, t: g }, { n: g.size }, [
        Math.min(4096, Math.ceil(g.size / 4)),
      ]);
    };
    if (place || have.storage.readers === 1) {
      add(have);
      return;
    }
    const sum = this.#memory.empty(have.shape, "f32", "accumulate"); // `have` is somebody else's dy too
    this.#memory.copy(have, sum);
    add(sum);
    this.#drop(have.storage, "the backward pass");
    sum.storage.readers++;
    grads.set(id, sum);
  }

  /** Runs one entry's rule and hands its gradients on. */
  #step(e: Entry, grads: Map<number, Tensor>, slots: ReadonlyMap<number, Tensor>): void {
    const { op, values, parents } = e;
    let at = 0;
    const dys = op.outputs.map((name) =>
      tensorsOf(values[name]!).map((t) => {
        const id = e.ids[at++]!;
        if (id < 0) return null;
        const dy = grads.get(id);
        if (dy) return dy;
        const zero =
          slots.get(id) ?? this.#memory.empty(t.shape, "f32", `zero d${name} of ${op.name}`);
        this.#memory.clear(zero); // an output that nobody used, beside one that somebody did
        zero.storage.readers++;
        return zero;
      }),
    );

    const taken = new Set<number>();
    const wanted = new Map<string, (Tensor | null)[]>();
    const spare: Tensor[] = [];
    for (const name of op.inputs) {
      if (op.passes.includes(name)) continue;
      const turned = op.turns.includes(name);
      const tensors = tensorsOf(values[name]!);
      const made = parents[name]!.map((id, i) => {
        if (id < 0 && !turned) return null;
        const place = grads.has(id) || taken.has(id) ? undefined : slots.get(id);
        taken.add(id);
        if (!turned)
          return place ?? this.#memory.empty(tensors[i]!.shape, "f32", `d${name} of ${op.name}`);
        const own = this.#turnable(dys[0]![i]!, place);
        if (id < 0) {
          own.storage.readers++;
          spare.push(own);
        }
        return own;
      });
      if (made.some((t) => t)) wanted.set(name, made);
    }
    if (wanted.size > 0) this.#rule(e, dys, wanted);

    for (const name of op.inputs) {
      const tensors = tensorsOf(values[name]!);
      parents[name]!.forEach((id, i) => {
        if (id < 0) return;
        const g = wanted.get(name)?.[i] ?? dys[0]![0]!.view({ shape: tensors[i]!.shape });
        g.storage.readers++;
        this.#arrive(id, g, grads, slots);
        this.#drop(g.storage, "the backward pass");
      });
    }
    for (const id of e.ids) grads.delete(id);
    for (const dy of [...dys.flat(), ...spare]) if (dy) this.#drop(dy.storage, "the backward pass");
  }

  /** The values of `dy` where a rule may change them: in a gradient's place, or where nobody else reads them. */
  #turnable(dy: Tensor, place: Tensor | undefined): Tensor {
    if (place ? samePlace(place, dy) : dy.storage.readers === 1) return dy;
    const to = place ?? this.#memory.empty(dy.shape, "f32", "a gradient's copy");
    this.#memory.copy(dy, to);
    return to;
  }

  #rule(
    e: Entry,
    dys: readonly (readonly (Tensor | null)[])[],
    wanted: Map<string, (Tensor | null)[]>,
  ): void {
    const { op, values, attrs } = e;
    if (op.backward) {
      const given: Record<string, unknown> = {};
      op.outputs.forEach((name, i) => {
        if (!op.hidden.includes(name))
          given[`d${name}`] = Array.isArray(values[name]) ? dys[i] : dys[i]![0];
      });
      for (const name of op.saves)
        given[name] = mapValue(values[name]!, (t) => t.view({ node: null }));
      for (const name of op.inputs) {
        const value = values[name]!;
        const none = Array.isArray(value) ? value.map(() => null) : [null];
        const gs = wanted.get(name) ?? none;
        given[`d${name}`] = Array.isArray(value) ? gs : gs[0]!;
      }
      this.#memory.rule((run) => op.backward!(run, given, attrs));
    } else if (op.reference) this.#viaReference(e, dys[0]![0]!, wanted);
    else
      throw new TapeError(`${op.name} has neither a backward nor a reference: it has no gradient`);
  }

  /** The gradient of an op without a rule: its composition runs again on a tape of its own. */
  #viaReference(e: Entry, dy: Tensor, wanted: Map<string, (Tensor | null)[]>): void {
    const { gpu } = this;
    const { op, values, attrs } = e;
    const inner = new Scope(
      `${op.name}.reference`,
      this.scope.source,
      this.scope,
      this.scope.recording,
    );
    this.#memory.scoped(
      inner,
      () => {
        const tape = new Tape(gpu, inner);
        const slots = new Map<number, Tensor>();
        const inputs: Record<string, Value> = {};
        for (const name of op.inputs) {
          const targets = wanted.get(name);
          inputs[name] = mapValue(values[name]!, (t, i) => {
            const plain = t.view({ node: null });
            const target = targets?.[i];
            if (!target) return plain;
            const leaf = tape.leaf(plain);
            slots.set(leaf.node!.id, target);
            return leaf;
          });
        }
        try {
          const y = op.reference!(inputs, attrs);
          const reached = y.node ? tape.backward(y.node.id, dy, slots) : new Set<number>();
          for (const [id, target] of slots) if (!reached.has(id)) this.#memory.clear(target);
        } finally {
          tape.abandon();
        }
      },
      this.scope,
    );
  }
}
