import type { App } from './start-app.ts';

export const ADMIN_TOKEN = 'admin-token-0123456789';
export const AS_ADMIN = { authorization: `Bearer ${ADMIN_TOKEN}` };

export interface Scrape {
  readonly text: string;
  /** Each sample under the name and labels with which it was written. */
  readonly samples: ReadonlyMap<string, number>;
  /**
   * The sum of the samples of this name that have at least these labels: `('x_total', 'a="1"')`.
   * Undefined when there is none.
   */
  value(name: string, ...labels: readonly string[]): number | undefined;
}

/** What Prometheus would be told now. */
export async function scrape(app: Pick<App, 'get'>): Promise<Scrape> {
  const { status, text } = await app.get('/metrics', AS_ADMIN);
  if (status !== 200) throw new Error(`/metrics answered ${status}`);
  return readScrape(text);
}

function readScrape(text: string): Scrape {
  const samples = new Map(text.split('\n').flatMap(readLine));
  return {
    text,
    samples,
    value(name, ...labels) {
      const found = [...samples].filter(([series]) => isOf(series, name, labels));
      return found.length === 0 ? undefined : found.reduce((sum, [, value]) => sum + value, 0);
    },
  };
}

const SAMPLE = /^([a-z_]+(?:\{.*\})?) (\S+)$/;
const SERIES = /^([a-z_]+)(?:\{(.*)\})?$/;

function readLine(line: string): [string, number][] {
  const [, series, value] = SAMPLE.exec(line) ?? [];
  return series === undefined ? [] : [[series, Number(value)]];
}

function isOf(series: string, name: string, labels: readonly string[]): boolean {
  const [, found, rest = ''] = SERIES.exec(series) ?? [];
  return found === name && labels.every((label) => `,${rest},`.includes(`,${label},`));
}
