/** One instruction of a Dockerfile, on however many lines it was written. */
export interface Instruction {
  readonly keyword: string;
  /** `--from=build` as `from` and `build`. */
  readonly flags: Readonly<Record<string, string>>;
  /** What follows the flags. */
  readonly text: string;
}

const COMMENT = /^\s*#.*$\n?/gm;
const CONTINUED = /\\\n\s*/g;
const INSTRUCTION = /^([A-Z]+)((?:\s+--[a-z-]+=\S+)*)\s+(.+)$/;
const FLAG = /--([a-z-]+)=(\S+)/g;

/** Fails for a line that is no instruction. */
export const readDockerfile = (text: string): readonly Instruction[] =>
  text
    .replace(COMMENT, '')
    .replace(CONTINUED, '')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map(readInstruction);

function readInstruction(line: string): Instruction {
  const [, keyword, flags = '', text = ''] = INSTRUCTION.exec(line) ?? [];
  if (keyword === undefined) throw new Error(`no instruction: ${line}`);
  const found = [...flags.matchAll(FLAG)].map(([, name = '', value = '']) => [name, value]);
  return { keyword, flags: Object.fromEntries(found), text };
}

/** The words of `["node", "dist/main.js"]`. Fails for the other form, which a shell would read. */
export function readWords(text: string): readonly string[] {
  const words: unknown = JSON.parse(text);
  if (!Array.isArray(words)) throw new Error(`not a list of words: ${text}`);
  return words.map(String);
}
