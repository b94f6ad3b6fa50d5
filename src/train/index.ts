// Training and using classifiers: what the command and pages share.
export {
  type Augment,
  type Batch,
  batchOf,
  epochOf,
  type Move,
  type Scaling,
  scalingOf,
} from "./batches.ts";
export {
  type Classifier,
  classesOf,
  classifier,
  type Description,
  type Likely,
  loadClassifier,
  modelOf,
  mostLikely,
  type Opened,
  openClassifier,
  probabilities,
} from "./classifier.ts";
export {
  evaluate,
  type Progress,
  type Score,
  type Start,
  type State,
  type TrainOptions,
  train,
} from "./loop.ts";
export {
  classNames,
  type Looker,
  loadPretrained,
  openPretrained,
  type Pretrained,
  variantInName,
} from "./pretrained.ts";
export {
  type NetOptions,
  type Recipe,
  type Variant,
  variantByName,
  variantNames,
} from "./recipes.ts";
