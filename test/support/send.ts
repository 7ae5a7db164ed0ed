import type { Answered } from './documented.ts';
import { type App, flow } from './start-app.ts';

/** Any request, while fake time goes on until its whole answer is there. */
export const send = ({ url, clock }: App, path: string, sent: RequestInit): Promise<Answered> =>
  flow(clock, fetch(`${url}${path}`, sent).then(readAnswer));

const readAnswer = async (response: Response): Promise<Answered> => ({
  status: response.status,
  headers: response.headers,
  text: await response.text(),
});
