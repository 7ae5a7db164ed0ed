import { type DestinationStream, type Logger, pino } from 'pino';
import type { Redact } from './redact.ts';

export type { Logger };

export interface LoggerOptions {
  /** One of pino's levels, or `silent`. */
  readonly level: string;
  readonly redact: Redact;
  /** Default: standard output. */
  readonly destination?: DestinationStream;
}

/** Structured logs, one JSON object a line. Each finished line passes `redact`, whoever wrote it. */
export function createLogger({ level, redact, destination }: LoggerOptions): Logger {
  const options = { level, base: null, hooks: { streamWrite: redact } };
  return destination === undefined ? pino(options) : pino(options, destination);
}
