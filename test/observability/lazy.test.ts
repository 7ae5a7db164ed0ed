import { createRequire } from 'node:module';
import { expect, it } from 'vitest';
import { ADMIN_TOKEN } from '../support/scrape.ts';
import { startApp } from '../support/start-app.ts';

const isLoaded = () =>
  Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes('/prom-client/'));

it('the metrics library is loaded only with an admin token', async () => {
  await startApp({ environment: { GOOGLE_API_KEY: 'g-one' } });
  expect(isLoaded()).toBe(false);
  await startApp({ environment: { GOOGLE_API_KEY: 'g-one', ADMIN_TOKEN } });
  expect(isLoaded()).toBe(true);
});
