import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

const MAIN = resolve(import.meta.dirname, '../../src/main.ts');
const DRAIN = /^const DRAIN_LIMIT_MS = ([\d_]+);$/m;

/** How long the server takes to end at most. A platform has to wait longer. */
export function drainLimitSeconds(): number {
  const main = readFileSync(MAIN, 'utf8');
  return msIn(main, DRAIN) / 1000;
}

function msIn(text: string, pattern: RegExp): number {
  const [, digits] = pattern.exec(text) ?? [];
  if (digits === undefined) throw new Error(`not found: ${pattern}`);
  return Number(digits.replaceAll('_', ''));
}
