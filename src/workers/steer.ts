import type { Logger } from '../shared/logger.ts';
import type { Orders, Primary } from './primary.ts';

export interface SteerOptions {
  readonly primary: Primary;
  readonly log: Logger;
  /** Reads the settings as they are now; null where they are at fault, which it has said. */
  readOrders(): Orders | null;
  /** How long kept connections may still bring a request each when this signal ends all. */
  readonly farewellMs: Readonly<Record<'SIGTERM' | 'SIGINT', number>>;
  /** Ends this process. */
  exit(code: number): void;
}

/** SIGTERM and SIGINT end all, a second one at once; SIGHUP is a rolling restart. */
export function steer({ primary, log, readOrders, farewellMs, exit }: SteerOptions): void {
  let isStopping = false;
  const stop = async (signal: 'SIGTERM' | 'SIGINT') => {
    if (isStopping) {
      primary.kill();
      return exit(1);
    }
    isStopping = true;
    log.info({ signal }, 'stopping: no new connections, answers in flight go out');
    await primary.stop(farewellMs[signal]);
    log.info('stopped');
    exit(0);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('SIGHUP', onePerTime(roll));

  async function roll(): Promise<void> {
    const orders = isStopping ? null : readOrders();
    if (orders === null) return;
    const { workers } = orders;
    log.info({ workers }, 'restarting: one worker after another');
    const isDone = await primary.roll(orders);
    if (isDone) log.info({ workers }, 'restarted');
    else if (!isStopping) {
      log.error('a new worker ended before it listened: the restart ends here, the others stay');
    }
  }
}

/** What is wanted while it is being done is done once more afterwards, however often it was wanted. */
function onePerTime(task: () => Promise<void>): () => Promise<void> {
  let isRunning = false;
  let isWanted = false;
  return async () => {
    isWanted = true;
    if (isRunning) return;
    isRunning = true;
    while (isWanted) {
      isWanted = false;
      await task();
    }
    isRunning = false;
  };
}
