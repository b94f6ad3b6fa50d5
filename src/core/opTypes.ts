// The types of an op: what its rules get and give, by the names of its inputs and outputs. No code: that is op.ts.
import type { Run } from "./dispatch.ts";
import type { DType, Shape, Tensor } from "./tensor.ts";

/** `"bias?"` may be left out, `"...xs"` is a list of tensors, `"...xs?"` may be empty, `"~stats"` is for backward alone. */
export type NameOf<K> = K extends `...${infer N}?`
  ? N
  : K extends `${infer N}?`
    ? N
    : K extends `...${infer N}`
      ? N
      : K extends `~${infer N}`
        ? N
        : K;
type ValueOf<K> = K extends `...${string}`
  ? readonly Tensor[]
  : K extends `${string}?`
    ? Tensor | null
    : Tensor;
export type Named<I extends readonly string[]> = {
  readonly [K in I[number] as NameOf<K> & string]: ValueOf<K>;
};
export type Outs<O extends readonly string[]> = Named<O>;
/** What a call gives. */
type Shown<O extends readonly string[]> = Exclude<O[number], `~${string}`>;
type Douts<O extends readonly string[]> = {
  readonly [K in Shown<O> as `d${NameOf<K> & string}`]: ValueOf<K>;
};
/** `dx` for an input `x`: null where no gradient is wanted, which cannot be when there is only one input. */
type Wanted<I extends readonly string[], T extends string> = {
  readonly [K in I[number] as `d${NameOf<K> & string}`]: NameOf<K> extends T
    ? ValueOf<K>
    : K extends `...${string}`
      ? readonly (Tensor | null)[]
      : I["length"] extends 1
        ? Tensor
        : Tensor | null;
};
type Saved<I extends readonly string[], O extends readonly string[], S extends string> = {
  readonly [K in Extract<keyof (Named<I> & Outs<O>), S>]: (Named<I> & Outs<O>)[K];
};

export type OutShape = Shape | { readonly shape: Shape; readonly dtype: DType };
type ShapeFor<K> = K extends `...${string}` ? readonly OutShape[] : OutShape;
/** One output: its shape. Several: each by name, with a dtype where it is not f32. A list: its shapes. */
export type Shapes<O extends readonly string[]> = O["length"] extends 1
  ? ShapeFor<O[0]>
  : { readonly [N in NameOf<O[number]> & string]: OutShape | readonly OutShape[] };
type IsUnion<T, U = T> = T extends unknown ? ([U] extends [T] ? false : true) : never;
export type Outputs<O extends readonly string[]> =
  IsUnion<Shown<O>> extends true
    ? { readonly [K in Shown<O> as NameOf<K> & string]: ValueOf<K> }
    : ValueOf<Shown<O>>;

export interface OpSpec<
  I extends readonly string[],
  A,
  S extends string,
  O extends readonly string[],
  T extends string = never,
> {
  readonly name: string;
  /** Names of the inputs; `"bias?"` may be left out (its tensor is null), `"...xs"` is a list, `"...xs?"` one that may be empty. */
  readonly inputs: I;
  /**
   * Names of the outputs; default `["y"]`. `"...ys"` is a list, whose tensors lie in one buffer. `"~stats"` is not
   * returned and has no gradient: it is there for backward, if `saves` names it.
   */
  readonly outputs?: O;
  /** Checks inputs and attributes (ShapeError), and gives the shape of each output. */
  readonly shape: (inputs: Named<I>, attrs: A) => Shapes<O>;
  /** Writes each output completely. */
  readonly forward: (run: Run, tensors: Named<I> & Outs<O>, attrs: A) => void;
  /** What backward reads; default: all inputs. */
  readonly saves?: readonly (S & (NameOf<I[number]> | NameOf<O[number]>))[];
  /** Inputs whose gradient is the first output's gradient itself. */
  readonly passes?: readonly NameOf<I[number]>[];
  /**
   * Inputs of the first output's shape whose gradient is made in that output's gradient: `dx` is never null and holds
   * `dy` when backward begins (so `dy` itself is not to be read). Where only this op reads a parameter, `dy` was
   * written to the place of the parameter's gradient in the first place.
   */
  readonly turns?: readonly (T & NameOf<I[number]>)[];
  /** Writes each wanted gradient completely. The tape adds gradients up; a rule never does. */
  readonly backward?: (
    run: Run,
    tensors: Saved<I, O, S> & Douts<O> & Wanted<I, T>,
    attrs: A,
  ) => void;
  /** The plain composition: the second oracle, and the gradient where there is no `backward`. One output only. */
  readonly reference?: (inputs: Named<I>, attrs: A) => Tensor;
}

type Lists<I extends readonly string[]> =
  | {
      -readonly [K in keyof I]: I[K] extends `...${string}`
        ? readonly Tensor[]
        : I[K] extends `${string}?`
          ? Tensor | null | undefined
          : Tensor;
    }
  | (I extends readonly [...infer H extends string[], `${string}?`] ? Lists<H> : never);
type WithAttrs<L, A> = L extends readonly unknown[]
  ? unknown extends A
    ? L
    : Partial<A> extends A
      ? [...L, attrs?: A]
      : [...L, attrs: A]
  : never;
/** Positional tensors, then the attributes. */
export type Op<I extends readonly string[], A, O extends readonly string[]> = (
  ...args: WithAttrs<Lists<I>, A>
) => Outputs<O>;
