import type { Request, Response } from 'express';
import type { Caller } from '../failover/failover-request.ts';

/** @returns who asks; the signal aborts when the connection closes before the answer is out */
export function callerOf(request: Request, response: Response): Caller {
  const controller = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) controller.abort('client gone');
  });
  // It may have closed while its body was read: then no event comes any more.
  if (response.destroyed) controller.abort('client gone');
  return { requestId: String(request.id), signal: controller.signal };
}
