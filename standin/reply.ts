/** An answer as data: what goes over the wire, and when. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** A whole body, sent in one write, or the steps of a body that takes its time. */
  readonly body: string | readonly Step[];
  /** Before the first byte, in the clock's milliseconds. Default 0. */
  readonly delayMs?: number;
}

/** After the last step the answer ends; `hang` and `cut` are never followed by another. */
export type Step =
  | { readonly kind: 'write'; readonly text: string }
  | { readonly kind: 'wait'; readonly ms: number }
  /** Sends nothing more and keeps the connection open. */
  | { readonly kind: 'hang' }
  /** Ends the connection: a reset when nothing was sent, else after what was sent. */
  | { readonly kind: 'cut' };

export const JSON_TYPE = { 'content-type': 'application/json; charset=UTF-8' };
const HTML_TYPE = { 'content-type': 'text/html; charset=UTF-8' };

export const jsonReply = (
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Reply => ({ status, headers: { ...JSON_TYPE, ...headers }, body: JSON.stringify(body) });

export const htmlReply = (status: number, title: string, sentence: string): Reply => ({
  status,
  headers: HTML_TYPE,
  body: `<!DOCTYPE html>\n<html lang=en>\n<title>${title}</title>\n<p>${sentence}\n</html>\n`,
});

export const delayed = (reply: Reply, delayMs: number): Reply =>
  delayMs > 0 ? { ...reply, delayMs: (reply.delayMs ?? 0) + delayMs } : reply;
