import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { alertRules, dashboardExpressions, readDashboard, readYaml } from '../support/deployed.ts';
import { ADMIN_TOKEN, scrape } from '../support/scrape.ts';
import { startApp } from '../support/start-app.ts';

/** In another process: the collectors never stop. */
const NAME_PROCESS_METRICS = `
  const { Registry, collectDefaultMetrics } = require('prom-client');
  const register = new Registry();
  collectDefaultMetrics({ register });
  console.log(register.getMetricsAsArray().map(({ name }) => name).join(' '));
`;

/** Every name that a query may use. */
async function knownNames(): Promise<ReadonlySet<string>> {
  const app = await startApp({ environment: { ADMIN_TOKEN, GOOGLE_API_KEY: 'g-one' } });
  const { text } = await scrape(app);
  const ours = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name, type]) =>
    type === 'histogram' ? ['_bucket', '_sum', '_count'].map((end) => name + end) : [String(name)],
  );
  const asked = execFileSync(process.execPath, ['-e', NAME_PROCESS_METRICS], { encoding: 'utf8' });
  return new Set([...ours, ...asked.trim().split(' ')]);
}

const METRIC = /\b(?:understudy|gen_ai|http_server|process|nodejs)_\w+(?=[{[])/g;
const namesIn = (query: string) => query.match(METRIC) ?? [];

describe('the alert rules', () => {
  it('are five, and each has a duration, a severity, a meaning and what to do', () => {
    expect(alertRules().map(({ alert }) => alert)).toEqual([
      'UnderstudyAllKeysOut',
      'UnderstudyKeyNeedsAttention',
      'UnderstudyRefusalsRising',
      'UnderstudyUpstreamDown',
      'UnderstudyRedisGone',
    ]);
    for (const { for: duration, labels, annotations } of alertRules()) {
      expect(duration).toMatch(/^\d+m$/);
      expect(labels.severity).toMatch(/^(critical|warning)$/);
      expect(annotations.summary).toMatch(/\$labels\.(service|instance)/);
      expect(annotations.description).toMatch(
        /What callers notice: [\s\S]*Whose fault: [\s\S]*What to do: /,
      );
    }
  });

  it('use only metrics that exist', async () => {
    const names = alertRules().flatMap(({ expr }) => namesIn(expr));
    expect(names.length).toBeGreaterThan(5);
    const known = await knownNames();
    expect(names.filter((name) => !known.has(name))).toEqual([]);
  });
});

describe('the dashboard', () => {
  it('uses only metrics that exist', async () => {
    const names = dashboardExpressions('5m').flatMap(([, query]) => namesIn(query));
    expect(names.length).toBeGreaterThan(20);
    const known = await knownNames();
    expect(names.filter((name) => !known.has(name))).toEqual([]);
  });

  it('takes its data from the source that the reader chooses', () => {
    const { panels, templating } = readDashboard();
    expect(templating.list[0]).toMatchObject({ name: 'datasource', type: 'datasource' });
    const sources = panels.flatMap(({ targets = [] }) =>
      targets.map(({ datasource }) => datasource.uid),
    );
    for (const uid of sources) expect(uid).toMatch(/^\$\{datasource\}$/);
  });

  it('describes each panel, and no panel covers another', () => {
    const { panels } = readDashboard();
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    for (const { type, title, description } of panels) {
      if (type !== 'row') expect(description, title).toMatch(/\.$/);
    }
  });
});

describe('the configuration of Prometheus', () => {
  it('reads the token from a file and loads the alerts beside it', () => {
    const { scrape_configs: jobs, rule_files: rules } = readYaml('prometheus.yml');
    expect(jobs).toHaveLength(1);
    expect(jobs[0]).toMatchObject({
      scheme: 'https',
      authorization: { credentials_file: 'understudy-admin-token' },
    });
    expect(jobs[0].authorization).not.toHaveProperty('credentials');
    expect(rules).toEqual(['alerts.yml']);
  });
});
