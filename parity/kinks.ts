// Which activations have kinks at 0 or 6: a pre-activation within rounding of one may take either branch.

const RELU_LIKE = ["relu", "relu6", "leaky_relu"];

/** True for the activations, by the reference's names, whose gradients the kink rule speaks of. */
export const hasKinks = (activation: string): boolean => RELU_LIKE.includes(activation);
