// A model of one operator in ONNX's protobuf format, for ONNX Runtime Web. Not a general encoder.

const varint = (n) => {
  const bytes = [];
  let rest = BigInt(n);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.from([...bytes, Number(rest)]);
};
const bytes = (field, content) =>
  Buffer.concat([varint((field << 3) | 2), varint(content.length), content]);
const message = (field, ...parts) => bytes(field, Buffer.concat(parts));
const integer = (field, n) => Buffer.concat([varint(field << 3), varint(n)]);
const text = (field, s) => bytes(field, Buffer.from(s));

const FLOAT = 1;
const STRING = 3;
const INT = 2;
const INTS = 7;

/** `ValueInfoProto`: a name with a shape of floats. */
const value = (field, name, shape) => {
  const dims = shape.map((d) => message(1, integer(1, d)));
  return message(
    field,
    text(1, name),
    message(2, message(1, integer(1, FLOAT), message(2, ...dims))),
  );
};

/** `AttributeProto`: whole numbers, lists of them, and strings. */
function attribute(name, v) {
  if (Array.isArray(v))
    return message(5, text(1, name), ...v.map((n) => integer(8, n)), integer(20, INTS));
  if (typeof v === "string") return message(5, text(1, name), text(4, v), integer(20, STRING));
  return message(5, text(1, name), integer(3, v), integer(20, INT));
}

/** The bytes of a `ModelProto`: `inputs` are shapes by name, the result is called `out`. */
export function model(op, inputs, out, attributes = {}) {
  const names = Object.keys(inputs);
  const node = message(
    1,
    ...names.map((name) => text(1, name)),
    text(2, "out"),
    text(4, op),
    ...Object.entries(attributes).map(([name, v]) => attribute(name, v)),
  );
  const graph = message(
    7,
    node,
    text(2, "bench"),
    ...names.map((name) => value(11, name, inputs[name])),
    value(12, "out", out),
  );
  const irVersion = integer(1, 9);
  const opset = message(8, integer(2, 20));
  return new Uint8Array(Buffer.concat([irVersion, graph, opset]));
}
