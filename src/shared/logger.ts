import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';
import { STANDARD_OUTPUT } from './log-output.ts';
import type { Redact } from './redact.ts';

export type { Logger };

export interface LoggerOptions {
  /** One of pino's levels, or `silent`. */
  readonly level: string;
  readonly redact: Redact;
  /** Default: standard output, each line at once. */
  readonly destination?: DestinationStream;
}

/** Structured logs, one JSON object a line. Every line passes `redact`. */
export function createLogger({ level, redact, destination }: LoggerOptions): Logger {
  const hooks = { streamWrite: redact };
  return pino(
    { level, base: null, timestamp: stdTimeFunctions.isoTime, hooks },
    destination ?? pino.destination({ fd: STANDARD_OUTPUT, sync: true }),
  );
}
