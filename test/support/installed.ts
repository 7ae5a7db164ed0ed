import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

/**
 * Tests that need a program which npm does not bring. Where it is missing they are skipped, and say so
 * loudly; in CI, which installs it, its absence is a failure.
 */
export function ifInstalled(program: string, title: string, tests: () => void): void {
  if (existsSync(program)) describe(title, tests);
  else if (process.env.CI === 'true')
    it(`${title}: ${program} is installed`, () => missing(program));
  else skip(program, title);
}

const missing = (program: string) => expect.fail(`${program} is missing`);

function skip(program: string, title: string): void {
  process.stderr.write(`\n!!! ${program} is missing: NOT TESTED: ${title}\n`);
  it.skip(`${title} (needs ${program})`, () => {});
}
