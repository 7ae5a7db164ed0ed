const TSX = import.meta.resolve('tsx');

/** @param path from `bench/`. @returns the arguments that let Node run a TypeScript file of the bench */
export function script(path: string, ...args: string[]): string[] {
  return ['--import', TSX, new URL(`../${path}`, import.meta.url).pathname, ...args];
}

/** @param path from `bench/`. @returns the flags that load a TypeScript file before another program */
export const preload = (path: string): string[] => [
  '--import',
  TSX,
  '--import',
  new URL(`../${path}`, import.meta.url).href,
];
