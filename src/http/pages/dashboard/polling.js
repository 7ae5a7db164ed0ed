// @ts-check

const EVERY_MS = 2000;
const MAX_PAUSE_MS = 10_000;

/**
 * Asks again and again while the page is looked at, one question at a time; slower while nobody
 * answers, at once when the page is looked at again or the network is back.
 *
 * @param {() => Promise<void>} ask
 * @param {(error: unknown) => void} onLost
 */
export function startPolling(ask, onLost) {
  let failures = 0;
  let isAsking = false;
  /** Whether something has happened since the present question was put. */
  let isStale = false;
  let timer = 0;

  async function askNow() {
    clearTimeout(timer);
    if (isAsking) {
      isStale = true;
      return;
    }
    isAsking = true;
    isStale = false;
    try {
      await ask();
      failures = 0;
    } catch (error) {
      failures += 1;
      onLost(error);
    }
    isAsking = false;
    if (isStale) void askNow();
    else plan();
  }

  function plan() {
    clearTimeout(timer);
    if (document.hidden) return;
    const pause = Math.min(EVERY_MS * 1.5 ** Math.max(0, failures - 1), MAX_PAUSE_MS);
    timer = window.setTimeout(askNow, pause);
  }

  document.addEventListener('visibilitychange', () => {
    if (document.hidden) clearTimeout(timer);
    else void askNow();
  });
  addEventListener('online', askNow);
  void askNow();
  return { askNow };
}
