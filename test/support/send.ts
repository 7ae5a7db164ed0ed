import { type App, flow } from './start-app.ts';

/** An answer as it came over the wire. */
export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/**
 * Any request, while fake time goes on until its whole answer is there.
 *
 * @param stepMs how fast; slower where something else than the event loop takes part
 */
export const send = (
  { url, clock }: App,
  path: string,
  sent: RequestInit,
  stepMs?: number,
): Promise<Answered> => flow(clock, fetch(`${url}${path}`, sent).then(readAnswer), stepMs);

const readAnswer = async (response: Response): Promise<Answered> => ({
  status: response.status,
  headers: response.headers,
  text: await response.text(),
});
