import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Every package under a folder, as a lock file names it: `node_modules/express`. */
export async function installedPackages(folder: string, above = ''): Promise<readonly string[]> {
  const modules = join(above, 'node_modules');
  const names = (await namesIn(join(folder, modules))).filter((name) => !name.startsWith('.'));
  const groups = await Promise.all(
    names.map(async (name) => {
      if (!name.startsWith('@')) return [name];
      return (await namesIn(join(folder, modules, name))).map((inner) => `${name}/${inner}`);
    }),
  );
  const packages = groups.flat().map((name) => join(modules, name));
  const nested = await Promise.all(packages.map((path) => installedPackages(folder, path)));
  return [...packages, ...nested.flat()];
}

const namesIn = (folder: string): Promise<readonly string[]> => readdir(folder).catch(() => []);
