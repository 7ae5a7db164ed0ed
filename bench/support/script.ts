/** @param path from `bench/`. @returns the arguments that let Node run a TypeScript file of the bench */
export function script(path: string, ...args: string[]): string[] {
  return ['--import', 'tsx', new URL(`../${path}`, import.meta.url).pathname, ...args];
}
