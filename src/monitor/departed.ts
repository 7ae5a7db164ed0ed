import type { Families } from './add-metrics.ts';

/** Between a process and whoever has started it. */
export const DEPARTED = { leave: 'metrics.leave', all: 'metrics.departed' } as const;

/** How a call of a process is answered. */
type Handle = (topic: string, reply: (payload: unknown) => unknown) => void;

/**
 * What processes have counted that are gone: without it each restart would take their counts along,
 * and Prometheus would count what is left anew. The code that adds is only loaded with the first of them.
 */
export function keepDeparted(handle: Handle): void {
  let departed: Families = [];
  let adding: Promise<void> = Promise.resolve();
  handle(DEPARTED.leave, (left) => {
    adding = adding
      .catch(() => {})
      .then(async () => {
        const { addFamilies, families } = await import('./add-metrics.ts');
        const { data } = families.safeParse(left);
        if (data !== undefined) departed = await addFamilies([departed, data]);
      });
    return adding;
  });
  handle(DEPARTED.all, () => adding.catch(() => {}).then(() => departed));
}
