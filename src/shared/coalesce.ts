/**
 * Joins calls of `run`. Calls during a run share one further run, so that each call resolves after a run that began after
 * it. A run that rejects rejects the calls that wait for it.
 */
export function coalesce(run: () => Promise<void>): () => Promise<void> {
  let isStale = false;
  let running: Promise<void> | null = null;

  async function runUntilFresh(): Promise<void> {
    try {
      while (isStale) {
        isStale = false;
        await run();
      }
    } finally {
      // In the same turn as the last look at `isStale`: a later call must begin another run.
      running = null;
    }
  }

  return () => {
    isStale = true;
    running ??= runUntilFresh();
    return running;
  };
}
