import { runScript } from './run-script.ts';

export interface LoadReport {
  readonly total: number;
  readonly failed: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

/** What `load.ts` reports of some servers. @throws when not every request was answered with 200 */
export async function loadOf(
  urls: readonly string[],
  callers: number,
  seconds: number,
): Promise<LoadReport> {
  const list = urls.join(',');
  const args = [list, String(callers), String(seconds)];
  const report = (await runScript('support/load.ts', ...args)) as LoadReport;
  if (report.failed > 0) throw new Error(`${list}: not every request was answered`);
  return report;
}
