import { rm } from 'node:fs/promises';
import { afterEach, expect, it } from 'vitest';
import { ifInstalled } from './support/installed.ts';
import { createFolder } from './support/prometheus.ts';
import { PROMTOOL, promtool } from './support/promtool.ts';
import { ADMIN_TOKEN, scrape } from './support/scrape.ts';
import { startApp } from './support/start-app.ts';

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

ifInstalled(PROMTOOL, 'promtool', () => {
  it('accepts the metrics of a server that has answered and refused', async () => {
    const app = await startApp({
      environment: { ADMIN_TOKEN, GOOGLE_API_KEY: 'g-one', ANAM_API_KEY: 'a-one' },
    });
    await app.chat('Hi');
    await app.post('/api/anam/session-token', {});
    app.standin.setFault('g-one', { kind: 'day_spent' });
    await app.chat('Hi');
    const { text, value } = await scrape(app);
    expect(value('understudy_requests_total', 'end="refused"')).toBe(1);
    expect(await promtool(['check', 'metrics'], { input: text })).toEqual({ code: 0, said: '' });
  });

  it('accepts the alert rules without a warning', async () => {
    const check = ['check', 'rules', '--lint=all', '--lint-fatal', 'alerts.yml'];
    const { code, said } = await promtool(check);
    expect([code, said]).toEqual([0, expect.stringContaining('SUCCESS: 5 rules found')]);
  });

  it('sees each alert fire when it should, and only then', async () => {
    const { code, said } = await promtool(['test', 'rules', 'alerts.test.yml']);
    expect([code, said]).toEqual([0, expect.stringContaining('SUCCESS')]);
  });

  it('accepts the configuration, with the rules and the token beside it', async () => {
    const folder = await createFolder(new URL('https://understudy.example.com'), ADMIN_TOKEN);
    folders.push(folder);
    const { code, said } = await promtool(['check', 'config', 'prometheus.yml'], { cwd: folder });
    expect([code, said]).toEqual([0, expect.stringContaining('SUCCESS: 1 rule files found')]);
  });
});
