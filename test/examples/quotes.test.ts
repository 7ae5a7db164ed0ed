import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');

/** A code block that names its file, as in "```ts examples/plain-page/index.html". */
const QUOTE = /^```\w+ (examples\/\S+)\n(.*?)^```$/gms;

const pages = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

const quotes = pages.flatMap((page) =>
  [...readFileSync(join(ROOT, page), 'utf8').matchAll(QUOTE)].map(([, file = '', code = '']) => ({
    page,
    file,
    code,
  })),
);

const withoutIndent = (code: string) => code.replaceAll(/^ +/gm, '');

it.each(quotes)('$page quotes $file as it is', ({ file, code }) => {
  expect(withoutIndent(readFileSync(join(ROOT, file), 'utf8'))).toContain(withoutIndent(code));
});

it('every example is quoted', () => {
  const files = quotes.map(({ file }) => file).join('\n');
  for (const name of readdirSync(join(ROOT, 'examples'))) {
    if (!name.endsWith('.css')) expect(files).toContain(`examples/${name}`);
  }
});
