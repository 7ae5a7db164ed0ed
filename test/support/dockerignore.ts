import { posix } from 'node:path';

/**
 * Whether Docker keeps a file of the context from the builder, as the last pattern says that fits the
 * file or a folder above it. Understands names, `*` for a whole name, and `!`; fails for other patterns.
 */
export function readDockerignore(text: string): (path: string) => boolean {
  const rules = text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map(readRule);
  return (path) => rules.findLast(({ fits }) => withFolders(path).some(fits))?.ignores ?? false;
}

interface Rule {
  readonly ignores: boolean;
  readonly fits: (path: string) => boolean;
}

const NAME = /^[\w.-]+(\/[\w.-]+)*$/;

function readRule(line: string): Rule {
  const ignores = !line.startsWith('!');
  const pattern = ignores ? line : line.slice(1);
  if (pattern === '*') return { ignores, fits: (path) => !path.includes('/') };
  if (!NAME.test(pattern)) throw new Error(`not understood: ${line}`);
  return { ignores, fits: (path) => path === pattern };
}

function withFolders(path: string): readonly string[] {
  const above = posix.dirname(path);
  return above === '.' ? [path] : [path, ...withFolders(above)];
}
