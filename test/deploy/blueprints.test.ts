import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { SETTINGS } from '../../src/config/settings.ts';
import { drainLimitSeconds } from '../support/drain-limit.ts';

const ROOT = resolve(import.meta.dirname, '../..');

/** The part of Render's blueprint schema that we use (https://render.com/docs/blueprint-spec). */
const region = z.enum(['oregon', 'ohio', 'virginia', 'frankfurt', 'singapore']);
const envVar = z.union([
  z.strictObject({ key: z.string(), value: z.string() }),
  z.strictObject({ key: z.string(), sync: z.literal(false) }),
  z.strictObject({ key: z.string(), generateValue: z.literal(true) }),
  z.strictObject({
    key: z.string(),
    fromService: z.strictObject({
      type: z.literal('keyvalue'),
      name: z.string(),
      property: z.literal('connectionString'),
    }),
  }),
]);
const web = z.strictObject({
  type: z.literal('web'),
  name: z.string(),
  runtime: z.literal('node'),
  plan: z.enum(['free', 'starter', 'standard', 'pro', 'pro plus', 'pro max', 'pro ultra']),
  region,
  buildCommand: z.string(),
  startCommand: z.string(),
  healthCheckPath: z.string().startsWith('/'),
  autoDeployTrigger: z.enum(['off', 'commit', 'checksPass']),
  maxShutdownDelaySeconds: z.int().min(1).max(300),
  numInstances: z.int().min(1),
  envVars: z.array(envVar),
});
const keyValue = z.strictObject({
  type: z.literal('keyvalue'),
  name: z.string(),
  plan: z.enum(['free', 'starter', 'standard', 'pro', 'pro plus', 'pro max', 'pro ultra']),
  region,
  ipAllowList: z.array(z.strictObject({ source: z.string(), description: z.string() })),
  maxmemoryPolicy: z.enum([
    'noeviction',
    'allkeys-lru',
    'allkeys-lfu',
    'allkeys-random',
    'volatile-lru',
    'volatile-lfu',
    'volatile-random',
    'volatile-ttl',
  ]),
});
const blueprint = z.strictObject({
  services: z.tuple([web], keyValue),
});

const read = (path: string) => {
  const [service, ...stores] = blueprint.parse(
    parse(readFileSync(resolve(ROOT, path), 'utf8')),
  ).services;
  return { service, stores };
};

const ONE = 'render.yaml';
const TWO = 'deploy/render/render.yaml';

describe.each([ONE, TWO])('the blueprint %s', (path) => {
  const { service } = read(path);

  it('keeps every secret out of the repository', () => {
    const secrets = service.envVars.filter(({ key }) => /KEY|TOKEN|REDIS_URL/.test(key));
    expect(secrets.length).toBeGreaterThan(0);
    expect(secrets.filter((variable) => 'value' in variable)).toEqual([]);
  });

  it('sets only variables that Node or the server reads', () => {
    const ours = new Set(['NODE_VERSION', 'NODE_ENV', ...Object.keys(SETTINGS.shape)]);
    const unknown = service.envVars.filter(({ key }) => !ours.has(key) && !/_API_KEY/.test(key));
    expect(unknown).toEqual([]);
  });

  it('has longer to stop than the server takes', () => {
    expect(service.maxShutdownDelaySeconds).toBeGreaterThan(drainLimitSeconds());
  });
});

describe('the blueprint of two instances', () => {
  const { service, stores } = read(TWO);

  it('gives both one private Key Value that evicts nothing', () => {
    const [store, ...others] = stores;
    expect([service.numInstances, others]).toEqual([2, []]);
    expect(service.envVars).toContainEqual({
      key: 'REDIS_URL',
      fromService: { type: 'keyvalue', name: store?.name, property: 'connectionString' },
    });
    expect(store).toMatchObject({
      region: service.region,
      ipAllowList: [],
      maxmemoryPolicy: 'noeviction',
    });
  });

  it('equals the blueprint of one instance otherwise', () => {
    const { service: alone, stores: none } = read(ONE);
    expect([alone.numInstances, none]).toEqual([1, []]);
    const envVars = service.envVars.filter(({ key }) => key !== 'REDIS_URL');
    expect({ ...service, envVars, numInstances: 1 }).toEqual(alone);
  });
});

it('the systemd unit has longer to stop than the server takes', () => {
  const unit = readFileSync(resolve(ROOT, 'deploy/systemd/understudy@.service'), 'utf8');
  const [, seconds] = /^TimeoutStopSec=(\d+)$/m.exec(unit) ?? [];
  expect(Number(seconds)).toBeGreaterThan(drainLimitSeconds());
});
