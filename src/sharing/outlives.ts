import type { Scope } from '../pool/scope.ts';

/** What is found for good is kept for long after its time: somebody may act days later. */
const WEEK_MS = 7 * 86_400_000;

/** How long what is known of a scope is kept after its time has passed. */
export function outlives({ health, subject }: Scope, cooldownMs: number): number {
  const isLong = health.state !== 'ready' && health.finding.effect === 'exhausted';
  return isLong || subject?.kind === 'operator' ? WEEK_MS : cooldownMs;
}
