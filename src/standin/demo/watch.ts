import type { Clock } from '../../shared/clock.ts';
import type { Standin, StandinCall } from '../standin.ts';
import { DEMO_ENVIRONMENT } from './keys.ts';

export interface WatchOptions {
  readonly clock: Clock;
  readonly standin: Standin;
  readonly url: string;
  readonly output: NodeJS.WriteStream;
}

const LOOK_EVERY_MS = 250;
const CLEAR_LINE = '\r\u001b[K';

/** Tells each call that a provider got, and keeps one line with the counts below them. */
export function watchKeys({ clock, standin, url, output }: WatchOptions): void {
  let lastTold: StandinCall | undefined;
  let lastLine = '';
  const look = async () => {
    const line = await countsLine(url).catch(() => lastLine);
    const calls = answeredSince(standin.calls, lastTold);
    lastTold = calls.at(-1) ?? lastTold;
    if (calls.length > 0 || line !== lastLine) show(calls.map(tellCall), line);
    lastLine = line;
    clock.after(LOOK_EVERY_MS, look);
  };
  const show = (told: string[], line: string) => {
    // Only a terminal can take a line back; elsewhere each change is a line of its own.
    if (output.isTTY)
      output.write(`${CLEAR_LINE}${[...told, cutToWidth(line, output)].join('\n')}`);
    else output.write(`${[...told, line].join('\n')}\n`);
  };
  void look();
}

/** A line that wraps could not be taken back. */
const cutToWidth = (line: string, { columns = 80 }: NodeJS.WriteStream) =>
  line.slice(0, columns - 1);

function answeredSince(calls: readonly StandinCall[], last: StandinCall | undefined) {
  const fresh = calls.slice(last === undefined ? 0 : calls.lastIndexOf(last) + 1);
  const pending = fresh.findIndex(({ status, aborted }) => status === null && !aborted);
  return pending < 0 ? fresh : fresh.slice(0, pending);
}

const tellCall = ({ key, status, aborted }: StandinCall) =>
  `  ${nameOf(key).padEnd(9)} ${aborted ? 'the caller left' : describe(status)}`;

const describe = (status: number | null) => `${status} ${status === 200 ? 'answered' : 'refused'}`;

function nameOf(key: string): string {
  const [variable = key] = Object.entries(DEMO_ENVIRONMENT).find(([, text]) => text === key) ?? [];
  return variable.toLowerCase().replace('_api_key', '').replace('_', '-');
}

type Counts = Record<'total' | 'available' | 'cooling_down' | 'exhausted', number>;

async function countsLine(url: string): Promise<string> {
  const response = await fetch(`${url}/api/keys/status`);
  const { api_keys: services } = (await response.json()) as { api_keys: Record<string, Counts> };
  return Object.entries(services)
    .map(([service, counts]) => `${service}: ${tellCounts(counts)}`)
    .join('   ');
}

const tellCounts = ({ total, available, cooling_down, exhausted }: Counts) =>
  [
    `${available} of ${total} usable`,
    ...(cooling_down > 0 ? [`${cooling_down} cooling down`] : []),
    ...(exhausted > 0 ? [`${exhausted} exhausted`] : []),
  ].join(', ');
