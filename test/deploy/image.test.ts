import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readdir, stat, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { ADMIN_TOKEN, AS_ADMIN } from '../support/admin.ts';
import { readDockerignore } from '../support/dockerignore.ts';
import { type Built, buildImage } from '../support/image.ts';
import { ifThere } from '../support/installed.ts';
import { installedPackages } from '../support/installed-packages.ts';
import { loadPage } from '../support/load-page.ts';
import { type Program, startProgram } from '../support/program.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const DOCKERFILE = join(ROOT, 'deploy/docker/Dockerfile');
const UNREACHABLE = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH/;

/** In bytes, everything above the base image. Room for a package or two, not for those of development. */
const LAYERS_AT_MOST = 36_000_000;

const isIgnored = readDockerignore(readFileSync(`${DOCKERFILE}.dockerignore`, 'utf8'));
const image = await build();
afterAll(() => image?.remove());

/** The real packages of production; those of the build are the ones that these tests run on. */
async function build(): Promise<Built | null> {
  const bring = (cwd: string) => symlink(join(ROOT, 'node_modules'), join(cwd, 'node_modules'));
  const atHand = { 'npm ci --ignore-scripts': bring };
  const context = { folder: ROOT, isIgnored, atHand };
  return buildImage(readFileSync(DOCKERFILE, 'utf8'), context).catch((error: unknown) => {
    if (UNREACHABLE.test(String(error))) return null;
    throw error;
  });
}

it('keys, history and the packages of this machine are kept from the builder', () => {
  const kept = ['.env', 'deploy/docker/.env', '.git/HEAD', 'node_modules/express/index.js', 'dist'];
  expect(kept.filter((path) => !isIgnored(path))).toEqual([]);
});

ifThere(image, 'the npm registry', 'what the Dockerfile makes', (built) => {
  const started: Program[] = [];
  afterEach(async () => {
    for (const program of started.splice(0)) await program.stop();
  });

  async function start() {
    const [program = '', ...args] = built.command;
    const settings = { PORT: '0', GOOGLE_API_KEY: 'g-one', ANAM_API_KEY: 'a-one', ADMIN_TOKEN };
    const server = await startProgram(program, args, {
      ...built.process(settings),
      until: /"port":(\d+).*"msg":"listening"/,
    });
    started.push(server);
    const port = server.ready[1] ?? '';
    return { ...server, port, url: `http://127.0.0.1:${port}` };
  }

  const isHealthy = (port: string) => {
    const [program = '', ...args] = built.healthcheck;
    const { environment: env, ...where } = built.process({ PORT: port });
    return new Promise<boolean>((tell, fail) => {
      execFile(program, args, { env, ...where }, (error) => {
        if (error === null || error.code === 1) tell(error === null);
        else fail(error);
      });
    });
  };

  it('runs as a user without rights, and every page has all that it loads', async () => {
    expect(built.user).toMatch(/^[1-9]\d*:[1-9]\d*$/);
    const { url } = await start();
    expect((await fetch(`${url}/health`)).status).toBe(200);
    for (const page of ['/', '/dashboard', '/playground', '/docs', '/login']) {
      const statuses = await loadPage(url + page, { ...AS_ADMIN, accept: 'text/html' });
      expect(statuses.size).toBeGreaterThan(3);
      expect([...statuses].filter(([, status]) => status !== 200)).toEqual([]);
    }
  });

  it('is healthy until the server has ended, and ends with 0 at SIGTERM', async () => {
    const { port, end } = await start();
    expect(await isHealthy(port)).toBe(true);
    expect(await end()).toBe(0);
    expect(await isHealthy(port)).toBe(false);
  });

  it('has the packages of production, none for development', async () => {
    const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
    const installed = await installedPackages(join(built.root, built.workdir));
    expect(installed.length).toBeGreaterThan(100);
    expect(installed.filter((path) => packages[path]?.dev !== undefined)).toEqual([]);
    expect(installed.filter((path) => packages[path] === undefined)).toEqual([]);
  });

  it('holds nothing but what the server reads, and is small', async () => {
    const app = join(built.root, built.workdir);
    expect(await readdir(app)).toEqual(['dist', 'node_modules', 'package.json', 'src']);
    expect(await readdir(join(app, 'src'))).toEqual(['http']);
    expect(await readdir(join(app, 'src/http'))).toEqual(['pages']);
    expect(await readdir(join(app, 'dist'))).not.toContain('standin');
    expect(await bytesIn(app)).toBeLessThan(LAYERS_AT_MOST);
  });
});

async function bytesIn(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(
    files.map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
