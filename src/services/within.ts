import { clientGone, upstreamFailed, upstreamTimeout } from '../failover/conclusion.ts';
import type { Caller } from '../failover/failover-request.ts';
import type { Clock } from '../shared/clock.ts';
import { UpstreamError } from '../shared/failure.ts';

/**
 * One call upstream without any key of ours, that ends with its caller or its time.
 *
 * @throws ServiceError
 */
export async function within<T>(
  limitMs: number,
  clock: Clock,
  { signal }: Caller,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const stop = () => controller.abort('given up');
  const limit = clock.after(limitMs, stop);
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  try {
    return await call(controller.signal);
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error;
    if (signal.aborted) throw clientGone();
    throw controller.signal.aborted ? upstreamTimeout(error) : upstreamFailed(error);
  } finally {
    limit.cancel();
    signal.removeEventListener('abort', stop);
  }
}
