import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';
import type { Redact } from './redact.ts';

export type { Logger };

export interface LoggerOptions {
  /** One of pino's levels, or `silent`. */
  readonly level: string;
  readonly redact: Redact;
  /** Default: standard output. */
  readonly destination?: DestinationStream;
}

/**
 * Structured logs, one JSON object a line. Each finished line passes `redact`, whoever wrote it, and is
 * written before the next one begins: none is lost or out of order when the process ends, and a
 * reader that has gone does not hold the end back.
 */
export function createLogger({ level, redact, destination }: LoggerOptions): Logger {
  const options = {
    level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    hooks: { streamWrite: redact },
  };
  return pino(options, destination ?? pino.destination({ fd: STANDARD_OUTPUT, sync: true }));
}

const STANDARD_OUTPUT = 1;
