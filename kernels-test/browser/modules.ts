// The modules of kernels-test/cases and kernels-test/core. A stand-in for types: build.ts puts the list in its place.
import type { Case } from "../harness.ts";

type Modules = Readonly<Record<string, { readonly cases?: readonly Case[] }>>;
export declare const modules: Readonly<Record<"cases" | "core", Modules>>;
