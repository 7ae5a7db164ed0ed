import { script } from './script.ts';
import { spawnLines } from './spawn-lines.ts';

/** Runs a TypeScript file of the bench that prints one line of JSON. @param path from `bench/` */
export async function runScript(path: string, ...args: string[]): Promise<unknown> {
  const child = spawnLines(process.execPath, script(path, ...args));
  const report: unknown = JSON.parse(await child.nextLine());
  await child.stop();
  return report;
}
