// The categories of goldens that this runner computes; a case of another one fails as not supported yet.
import type { Category } from "../category.ts";
import { fill } from "./fill.ts";

export const categories: Readonly<Record<string, Category>> = {
  fill,
};
