import { format, inspect } from 'node:util';
import { expect, it } from 'vitest';
import { Secret } from '../../src/shared/secret.ts';

const secret = new Secret('google-2', 'the-text-of-the-key');

it('reveals its text only when asked for it', () => {
  expect(secret.reveal()).toBe('the-text-of-the-key');
});

it.each<[string, () => string]>([
  ['String()', () => String(secret)],
  ['toString()', () => secret.toString()],
  ['a template', () => `${secret}`],
  ['concatenation', () => `${['', secret].join('')}`],
  ['util.format %s', () => format('%s', secret)],
  ['inspect', () => inspect(secret)],
  ['util.format without a pattern', () => format(secret)],
  ['util.format %o', () => format('%o', secret)],
])('shows its id to %s', (_, print) => {
  expect(print()).toBe('[google-2]');
});

it.each<[string, () => string]>([
  ['JSON.stringify', () => JSON.stringify({ key: secret })],
  ['util.format %j', () => format('%j', { key: secret })],
])('shows its id to %s', (_, print) => {
  expect(print()).toBe('{"key":"[google-2]"}');
});

it.each<[string, () => string]>([
  ['inspect, deep inside and with everything shown', () => inspectFully({ a: { b: [secret] } })],
  ['inspect without custom inspection', () => inspect(secret, { customInspect: false })],
  ['the message of an error', () => String(new Error(`refused: ${secret}`))],
  ['the cause of an error', () => inspect(new Error('refused', { cause: secret }))],
  ['a copy of its properties', () => JSON.stringify({ ...secret })],
  ['a list of its properties', () => Reflect.ownKeys(secret).join()],
])('keeps its text from %s', (_, print) => {
  expect(print()).not.toContain('the-text');
});

const inspectFully = (value: unknown) =>
  inspect(value, { depth: null, showHidden: true, getters: true });

it('is not carried along by a structured clone', () => {
  expect(inspectFully(structuredClone(secret))).not.toContain('the-text');
});
