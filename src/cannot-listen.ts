import type { Config } from './config/config.ts';

/** @returns why the address cannot be had, for whoever starts it; null when the error is another one */
export function cannotListen(
  error: unknown,
  { port, host }: Pick<Config, 'port' | 'host'>,
): string | null {
  if (!isSystemError(error)) return null;
  const { code, message } = error;
  if (code === 'EADDRINUSE') return `PORT: ${port} is already in use on ${host}.`;
  if (code === 'EACCES') return `PORT: ${port} needs more rights than this process has.`;
  return `Cannot listen on ${host}:${port}: ${message}`;
}

const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && (error as NodeJS.ErrnoException).syscall !== undefined;
