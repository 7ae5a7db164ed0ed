import { afterEach, expect, it, vi } from 'vitest';
import { launchGroup, PATIENCE, startGroup } from '../support/server-group.ts';

const opened: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

/** Names on standard error each file of the workers' folder that a process loads. */
const TELL_LOADED = `data:text/javascript,${encodeURIComponent(`
  import { register } from 'node:module';
  register('data:text/javascript,' + encodeURIComponent(\`
    import { writeSync } from 'node:fs';
    export async function resolve(specifier, context, next) {
      const resolved = await next(specifier, context);
      if (/src\\\\/workers\\\\//.test(resolved.url)) writeSync(2, 'loaded ' + specifier + '\\\\n');
      return resolved;
    }
  \`));
`)}`;

async function start(workers: string) {
  const environment = { WORKERS: workers, NODE_OPTIONS: `--import ${TELL_LOADED}` };
  const group = await startGroup({ environment });
  opened.push(() => group.remove());
  return group;
}

it('one process alone loads nothing of what several need', async () => {
  expect((await start('1')).stderr()).not.toContain('loaded');
  expect((await start('2')).stderr()).toContain('loaded ./workers/primary.ts');
}, 30_000);

it('SIGHUP to one process alone says that there is nothing to roll, and it goes on', async () => {
  const group = await startGroup({ environment: {} });
  opened.push(() => group.remove());
  group.primary.kill('SIGHUP');
  await vi.waitFor(() => expect(group.logs('SIGHUP')).toHaveLength(1), PATIENCE);
  expect((await fetch(`${group.at}/health`)).status).toBe(200);
  expect(group.workers()).toEqual([]);
}, 30_000);

it('a worker that nobody leads ends, and says why', async () => {
  const group = await launchGroup({ environment: {}, args: ['--worker'] });
  opened.push(() => group.remove());
  expect(await group.exited).toBe(1);
  await group.allGone;
  expect(group.stderr()).toContain('Workers are started by their primary: set WORKERS instead.');
}, 30_000);
