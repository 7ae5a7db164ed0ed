import type { Config } from './config/config.ts';
import { createDispatcher } from './providers/gemini/transport.ts';
import type { Provider } from './providers/provider.ts';
import { keyCheckers, readUsedKeys } from './server.ts';
import { type CheckedKey, createKeyChecks } from './services/key-check.ts';
import type { Clock } from './shared/clock.ts';
import { createLogger } from './shared/logger.ts';

const LIMIT_MS = 600_000;

/**
 * Checks every key of the settings and of the store, for a person at a terminal.
 *
 * @throws StoreFault
 * @returns a table for standard output; the exit code is 0 if there are keys and all work, else 1
 */
export async function checkInTerminal(
  config: Config,
  providers: readonly Provider<Config>[],
  clock: Clock,
): Promise<{ readonly text: string; readonly exitCode: number }> {
  const { redact } = config;
  const destination = { write: (line: string) => void process.stderr.write(line) };
  const log = createLogger({ level: 'error', redact, destination });
  const keys = await readUsedKeys(config, { clock, log, random: Math.random });
  if (keys.length === 0) return { text: 'There is no key to check.\n', exitCode: 1 };
  const dispatcher = createDispatcher();
  const checkers = keyCheckers(config, providers, { dispatcher, redact, now: clock.now });
  const checks = createKeyChecks({ checkers, learns: null, clock, log });
  const checked = await checks.checkAll(keys, LIMIT_MS);
  const isGood = checked.every(({ check }) => check.verdict === 'works');
  return { text: tableOf(checked), exitCode: isGood ? 0 : 1 };
}

function tableOf(checked: readonly CheckedKey[]): string {
  const rows = [
    ['KEY', 'PROJECT', 'VERDICT', ''],
    ...checked.map(({ key, check }) => [key.id, key.project, check.verdict, check.sentence]),
  ];
  const widths = [0, 1, 2].map((column) =>
    Math.max(...rows.map((cells) => cells[column]?.length ?? 0)),
  );
  const lineOf = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return `${rows.map(lineOf).join('\n')}\n`;
}
