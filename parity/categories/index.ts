// The categories of goldens that this runner computes; a case of another one fails as not supported yet.
import type { Category } from "../category.ts";
import { activations } from "./activations.ts";
import { checkpoints } from "./checkpoints.ts";
import { curve } from "./curve.ts";
import { fill } from "./fill.ts";
import { groups } from "./groups.ts";
import { metadata } from "./metadata.ts";
import { modules } from "./modules.ts";
import { nfblock } from "./nfblock.ts";
import { nfnet } from "./nfnet.ts";
import { optimCategory } from "./optim.ts";
import { others } from "./others.ts";
import { preprocess } from "./preprocess.ts";
import { randomCategory } from "./random.ts";
import { wsconv } from "./wsconv.ts";

export const categories: Readonly<Record<string, Category>> = {
  activations,
  checkpoints,
  curve,
  fill,
  groups,
  metadata,
  modules,
  nfblock,
  nfnet,
  optim: optimCategory,
  others,
  preprocess,
  random: randomCategory,
  wsconv,
};
