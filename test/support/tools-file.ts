import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
  folders.length = 0;
});

/** @returns the path of a file for `CHAT_TOOLS`, which is removed after the tests of the file that wrote it */
export function writeToolsFile(content: unknown): string {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-tools-'));
  folders.push(folder);
  const path = join(folder, 'tools.json');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}
