import { z } from 'zod';
import type { Answer, Content } from './operation.ts';

/** How every page for people is given out. */
export const page = (description: string): Answer[] => [
  { status: 200, description, content: [html('<!doctype html>')] },
  { status: 304, description: 'The page has not changed since then.' },
];

export const html = (value: string): Content => text('text/html', value);

export const plain = (value: string): Content => text('text/plain', value);

const text = (type: string, value: string): Content => ({
  type,
  schema: z.string(),
  examples: { text: { value } },
});
