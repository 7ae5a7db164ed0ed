import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

/**
 * Tests that need a program which npm does not bring. Where it is missing they are skipped, and say so
 * loudly; in CI, which installs it, its absence is a failure.
 */
export const ifInstalled = (program: string, title: string, tests: () => void): void =>
  ifThere(existsSync(program) || null, program, title, tests);

/** The same for anything else that a machine may not have: `null` where it is missing. */
export function ifThere<Thing>(
  thing: Thing | null,
  name: string,
  title: string,
  tests: (thing: Thing) => void,
): void {
  if (thing !== null) describe(title, () => tests(thing));
  else if (process.env.CI === 'true') it(`${title}: ${name} is there`, () => missing(name));
  else skip(name, title);
}

const missing = (name: string) => expect.fail(`${name} is missing`);

function skip(name: string, title: string): void {
  process.stderr.write(`\n!!! ${name} is missing: NOT TESTED: ${title}\n`);
  it.skip(`${title} (needs ${name})`, () => {});
}
