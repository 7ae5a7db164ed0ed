import type { Clock } from '../src/shared/clock.ts';
import type { Standin, StandinCall } from './standin.ts';

export interface WatchOptions {
  readonly clock: Clock;
  readonly standin: Standin;
  /** Where the server listens. */
  readonly url: string;
  readonly output: NodeJS.WriteStream;
  /** The server's id of each key. */
  readonly names: ReadonlyMap<string, string>;
}

const INTERVAL_MS = 250;
const CLEAR_LINE = '\r\u001b[K';

/** Prints each call that a provider got, and below them one line with the counts of the keys. */
export function watchKeys({ clock, standin, url, output, names }: WatchOptions): void {
  let lastCall: StandinCall | undefined;
  let lastCounts = '';
  const look = async () => {
    const counts = await countsLine(url).catch(() => lastCounts);
    const calls = finishedSince(standin.calls, lastCall);
    lastCall = calls.at(-1) ?? lastCall;
    if (calls.length > 0 || counts !== lastCounts) show(calls.map(callLine), counts);
    lastCounts = counts;
    clock.after(INTERVAL_MS, look);
  };
  const callLine = ({ key, status, aborted }: StandinCall) => {
    const outcome = status === 200 ? 'answered' : 'refused';
    return `  ${names.get(key)?.padEnd(9)} ${aborted ? 'the caller left' : `${status} ${outcome}`}`;
  };
  const show = (lines: string[], counts: string) => {
    const { isTTY, columns = 80 } = output;
    // Only a terminal can overwrite a line, and only one that does not wrap.
    if (isTTY) output.write(`${CLEAR_LINE}${[...lines, counts.slice(0, columns - 1)].join('\n')}`);
    else output.write(`${[...lines, counts].join('\n')}\n`);
  };
  void look();
}

function finishedSince(calls: readonly StandinCall[], last: StandinCall | undefined) {
  const later = calls.slice(last === undefined ? 0 : calls.lastIndexOf(last) + 1);
  const pending = later.findIndex(({ status, aborted }) => status === null && !aborted);
  return pending < 0 ? later : later.slice(0, pending);
}

type Counts = Record<'total' | 'available' | 'cooling_down' | 'exhausted', number>;

async function countsLine(url: string): Promise<string> {
  const response = await fetch(`${url}/api/keys/status`);
  const { api_keys: services } = (await response.json()) as { api_keys: Record<string, Counts> };
  return Object.entries(services)
    .map(([service, counts]) => `${service}: ${inWords(counts)}`)
    .join('   ');
}

const inWords = ({ total, available, cooling_down, exhausted }: Counts) =>
  [
    `${available} of ${total} usable`,
    ...(cooling_down > 0 ? [`${cooling_down} cooling down`] : []),
    ...(exhausted > 0 ? [`${exhausted} exhausted`] : []),
  ].join(', ');
