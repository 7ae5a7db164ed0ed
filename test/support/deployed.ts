import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'yaml';

export const PROMETHEUS_FILES = resolve(import.meta.dirname, '../../deploy/prometheus');
const DASHBOARD = resolve(import.meta.dirname, '../../deploy/grafana/understudy.json');

export interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** The alert rules as they are deployed. */
export const alertRules = (): readonly Rule[] =>
  readYaml('alerts.yml').groups.flatMap(({ rules }: { rules: Rule[] }) => rules);

// biome-ignore lint/suspicious/noExplicitAny: a test looks for what it expects and fails where it is not
export const readYaml = (name: string): any =>
  parse(readFileSync(resolve(PROMETHEUS_FILES, name), 'utf8'));

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly targets?: readonly Target[];
}

export interface Target {
  readonly expr: string;
  readonly datasource: { readonly uid: string };
}

export interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string }[];
  };
}

export const readDashboard = (): Dashboard => JSON.parse(readFileSync(DASHBOARD, 'utf8'));

/** Each expression of the dashboard under its panel's title, its variables filled in. */
export const dashboardExpressions = (rateInterval: string): readonly [string, string][] =>
  readDashboard().panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }): [string, string] => [title, filledIn(expr, rateInterval)]),
  );

const filledIn = (expr: string, rateInterval: string) =>
  expr.replaceAll('$__rate_interval', rateInterval).replaceAll('$instance', '.*');
