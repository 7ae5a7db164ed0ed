import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { SETTINGS } from '../src/config/settings.ts';

/** The part of Render's blueprint schema that a web service uses (https://render.com/docs/blueprint-spec). */
const envVar = z.union([
  z.strictObject({ key: z.string(), value: z.string() }),
  z.strictObject({ key: z.string(), sync: z.literal(false) }),
  z.strictObject({ key: z.string(), generateValue: z.literal(true) }),
]);
const blueprint = z.strictObject({
  services: z.array(
    z.strictObject({
      type: z.literal('web'),
      name: z.string(),
      runtime: z.literal('node'),
      plan: z.enum(['free', 'starter', 'standard', 'pro', 'pro plus', 'pro max', 'pro ultra']),
      region: z.enum(['oregon', 'ohio', 'virginia', 'frankfurt', 'singapore']),
      buildCommand: z.string(),
      startCommand: z.string(),
      healthCheckPath: z.string().startsWith('/'),
      autoDeployTrigger: z.enum(['off', 'commit', 'checksPass']),
      maxShutdownDelaySeconds: z.int().min(1).max(300),
      numInstances: z.int().min(1),
      envVars: z.array(envVar),
    }),
  ),
});

const [service] = blueprint.parse(parse(readFileSync('render.yaml', 'utf8'))).services;

it('the blueprint keeps every secret out of the repository', () => {
  const secrets = service?.envVars.filter(({ key }) => /KEY|TOKEN/.test(key)) ?? [];
  expect(secrets.length).toBeGreaterThan(0);
  expect(secrets.filter((variable) => 'value' in variable)).toEqual([]);
});

it('the blueprint sets only variables that Node or the server reads', () => {
  const ours = new Set(['NODE_VERSION', 'NODE_ENV', ...Object.keys(SETTINGS.shape)]);
  const unknown = service?.envVars.filter(({ key }) => !ours.has(key) && !/_API_KEY/.test(key));
  expect(unknown).toEqual([]);
});

it('the platform waits longer than the server drains', () => {
  const main = readFileSync('src/main.ts', 'utf8');
  const drainMs = Number(/DRAIN_LIMIT_MS = ([\d_]+)/.exec(main)?.[1]?.replaceAll('_', ''));
  expect((service?.maxShutdownDelaySeconds ?? 0) * 1000).toBeGreaterThan(drainMs);
});
