// The residual blocks of resnet.ts: bottlenecks with batch normalization before the convolutions (V2; He et al. 2016) or
// after them (V1). Not for users: nn.resnet stacks them.
import type { Params } from "../core/init.ts";
import type { Tensor } from "../core/tensor.ts";
import * as ops from "../ops/index.ts";
import type { BatchNormSpec, BatchNormStateSpec, batchNorm, NormMode } from "./batchNorm.ts";
import type { LinearSpec } from "./block.ts";
import { type conv2d, type PlainConvSpec, squeezeExcite } from "./layers.ts";

/** In the order in which Haiku creates them: `convShortcut` comes first without preactivation. */
export type ResBlockSpec = {
  readonly bn0: BatchNormSpec;
  readonly convShortcut?: PlainConvSpec;
  readonly shortcutBn?: BatchNormSpec;
  readonly conv0: PlainConvSpec;
  readonly bn1: BatchNormSpec;
  readonly conv1: PlainConvSpec;
  readonly bn2: BatchNormSpec;
  readonly conv2: PlainConvSpec;
  readonly squeezeExcite?: { readonly linear: LinearSpec; readonly linear1: LinearSpec };
};
export type ResBlockStateSpec = {
  readonly shortcutBn?: BatchNormStateSpec;
  readonly bn0: BatchNormStateSpec;
  readonly bn1: BatchNormStateSpec;
  readonly bn2: BatchNormStateSpec;
};
/** What a block came to. */
export interface ResBlockConfig {
  readonly inCh: number;
  readonly outCh: number;
  readonly width: number;
  readonly stride: number;
  readonly useProjection: boolean;
  /** Hidden channels of squeeze-and-excite; null without it. */
  readonly seHidden: number | null;
}

/** What all blocks of a network share. */
export interface Common {
  readonly act: (x: Tensor) => Tensor;
  /** Channels that the activation leaves. */
  readonly after: (ch: number) => number;
  readonly norm: (ch: number) => ReturnType<typeof batchNorm>;
  readonly conv: (
    inCh: number,
    outCh: number,
    kernelShape: number,
    stride?: number,
  ) => ReturnType<typeof conv2d>;
  readonly preactivation: boolean;
  readonly seRatio: number | null;
}
type BlockMode = NormMode<Params<ResBlockStateSpec>>;
interface Branch {
  readonly branch: Tensor;
  readonly out: Tensor;
  readonly state: Params<ResBlockStateSpec>;
}

/** `resnet.py: ResBlockV2` and `ResBlockV1`. */
export function resBlock(shape: { inCh: number; outCh: number; stride: number }, common: Common) {
  const { inCh, outCh, stride } = shape;
  const { act, after, norm, conv, preactivation, seRatio } = common;
  const width = Math.floor(outCh / 4);
  const useProjection = stride > 1 || inCh !== outCh;
  const from = preactivation ? after(inCh) : inCh;
  const bn0 = norm(preactivation ? inCh : width);
  const bn1 = norm(width);
  const bn2 = norm(preactivation ? width : outCh);
  const shortcutBn = norm(outCh);
  const convShortcut = conv(from, outCh, 1, stride);
  const conv0 = conv(from, width, 1);
  // With preactivation bn1 stands before conv1, else behind it: either way an activation is in front of conv1 and conv2.
  const conv1 = conv(preactivation ? after(width) : width, width, 3, stride);
  const conv2 = conv(preactivation ? after(width) : width, outCh, 1);
  const se = seRatio === null ? null : squeezeExcite({ inCh: outCh, outCh, seRatio });

  const excite = se && { squeezeExcite: se.spec };
  const project = useProjection && { convShortcut: convShortcut.spec };
  const spec: ResBlockSpec = preactivation
    ? {
        bn0: bn0.spec,
        ...project,
        conv0: conv0.spec,
        bn1: bn1.spec,
        conv1: conv1.spec,
        bn2: bn2.spec,
        conv2: conv2.spec,
        ...excite,
      }
    : {
        ...project,
        ...(useProjection && { shortcutBn: shortcutBn.spec }),
        conv0: conv0.spec,
        bn0: bn0.spec,
        conv1: conv1.spec,
        bn1: bn1.spec,
        conv2: conv2.spec,
        bn2: bn2.spec,
        ...excite,
      };
  const stateSpec: ResBlockStateSpec = {
    ...(!preactivation && useProjection && { shortcutBn: shortcutBn.stateSpec }),
    bn0: bn0.stateSpec,
    bn1: bn1.stateSpec,
    bn2: bn2.stateSpec,
  };

  const excited = (p: Params<ResBlockSpec>, h: Tensor) =>
    se && p.squeezeExcite ? se.excite(p.squeezeExcite, h) : h;

  function v2(p: Params<ResBlockSpec>, x: Tensor, mode: BlockMode): Branch {
    const n0 = bn0(p.bn0, x, { ...mode, state: mode.state.bn0 });
    const start = act(n0.y);
    const shortcut = p.convShortcut ? convShortcut(p.convShortcut, start) : x;
    const n1 = bn1(p.bn1, conv0(p.conv0, start), { ...mode, state: mode.state.bn1 });
    const n2 = bn2(p.bn2, conv1(p.conv1, act(n1.y)), { ...mode, state: mode.state.bn2 });
    const branch = excited(p, conv2(p.conv2, act(n2.y)));
    const state = { bn0: n0.state, bn1: n1.state, bn2: n2.state };
    return { branch, out: ops.add(branch, shortcut), state };
  }

  function v1(p: Params<ResBlockSpec>, x: Tensor, mode: BlockMode): Branch {
    let shortcut = x;
    let first = {};
    if (p.convShortcut && p.shortcutBn && mode.state.shortcutBn) {
      const own = { ...mode, state: mode.state.shortcutBn };
      const n = shortcutBn(p.shortcutBn, convShortcut(p.convShortcut, x), own);
      shortcut = n.y;
      first = { shortcutBn: n.state };
    }
    const n0 = bn0(p.bn0, conv0(p.conv0, x), { ...mode, state: mode.state.bn0 });
    const n1 = bn1(p.bn1, conv1(p.conv1, act(n0.y)), { ...mode, state: mode.state.bn1 });
    const n2 = bn2(p.bn2, conv2(p.conv2, act(n1.y)), { ...mode, state: mode.state.bn2 });
    const branch = excited(p, n2.y);
    const state = { ...first, bn0: n0.state, bn1: n1.state, bn2: n2.state };
    return { branch, out: act(ops.add(branch, shortcut)), state };
  }
  const seHidden = se ? se.hidden : null;
  const config: ResBlockConfig = { inCh, outCh, width, stride, useProjection, seHidden };
  return { spec, stateSpec, config, compute: preactivation ? v2 : v1 };
}
