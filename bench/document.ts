// A report's place in a Markdown document: between two marks; the rest of the document stays.
import { FormatError } from "../src/index.ts";

const BEGIN = "<!-- results: begin -->";
const END = "<!-- results: end -->";

/** A new document with the place in it. */
const EMPTY = `# nfgrad bench\n\n${BEGIN}\n${END}\n`;

/**
 * The document (null: a new one) with `body` between its marks.
 * @throws FormatError if the marks are not there; `file` is named in it.
 */
export function withReport(document: string | null, body: string, file: string): string {
  const text = document ?? EMPTY;
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin)
    throw new FormatError(
      `${file}: it exists, and has no lines ${BEGIN} and ${END} to write between`,
    );
  return `${text.slice(0, begin)}${BEGIN}\n\n${body}\n${text.slice(end)}`;
}
