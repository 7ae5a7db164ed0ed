/** Which Redis answers, and its time in milliseconds since the epoch. */
export type Pulse = readonly [mark: string, time: number];

/** @throws for what is none */
export function readPulse(answer: unknown): Pulse {
  const [mark, time] = Array.isArray(answer) ? answer : [];
  if (typeof mark !== 'string' || typeof time !== 'number') throw new Error('an unreadable answer');
  return [mark, time];
}
