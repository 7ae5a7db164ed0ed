import { createRequire } from 'node:module';
import { expect, it } from 'vitest';
import { ADMIN_TOKEN, scrape } from '../support/scrape.ts';
import { startApp } from '../support/start-app.ts';

const isLoaded = (file: string) =>
  Object.keys(createRequire(import.meta.url).cache).some((loaded) => loaded.includes(file));

it('the metrics library is loaded at the first scrape', async () => {
  const app = await startApp({ environment: { GOOGLE_API_KEY: 'g-one', ADMIN_TOKEN } });
  expect(isLoaded('/prom-client/')).toBe(false);
  expect((await scrape(app)).text).toContain('understudy_keys{');
  expect(isLoaded('/prom-client/')).toBe(true);
});

it('the SDK of OpenTelemetry is loaded only where spans are exported', async () => {
  const app = await startApp({ environment: { GOOGLE_API_KEY: 'g-one' } });
  expect((await app.chat('Hi')).status).toBe(200);
  expect(isLoaded('/@opentelemetry/sdk-trace')).toBe(false);
  expect(app.standin.calls[0]?.traceparent).toBeUndefined();
});

it('a start loads the parts of undici that it uses', async () => {
  await startApp({ environment: { GOOGLE_API_KEY: 'g-one' } });
  expect(isLoaded('/undici/lib/dispatcher/pool.js')).toBe(true);
  expect(isLoaded('/undici/index.js')).toBe(false);
});
