import type { Caller } from '../failover/failover.ts';
import type { Client } from '../services/clients.ts';
import type { Admin } from './admin/admin-access.ts';
import type { BodyHolder, BodyMemory } from './body.ts';
import type { ErrorForm, HttpError, Outcome } from './errors.ts';

declare global {
  namespace Express {
    /** What the server knows of one request, in `response.locals`. */
    interface Locals extends BodyHolder {
      /** The caller's own id of the request, or a new one. */
      requestId: string;
      startedAt: number;
      bodyMemory: BodyMemory;
      /** Lines of the answer's head that Node does not check: headers whose values are known to be fit. */
      head: string;
      /** Missing for other callers, and on routes that do not look. */
      admin?: Admin;
      /** How an error is written for this caller. Default: our own form. */
      errorForm?: ErrorForm;
      /** Once the answer has begun: the text that ends it with an error; null leaves a broken connection. */
      failInStream?: (error: HttpError) => string | null;
      /** Of a program's request. */
      protocol?: 'openai' | 'anthropic' | 'gemini';
      /** Whose token was sent. */
      client?: Client;
      outcome?: Outcome;
      /** Missing where no key is asked for. */
      caller?: Caller;
      /** The answer to this request, if it can go on without its connection. */
      running?: { readonly isOver: boolean };
      /** Writes the request's log line. Set when the connection closes before the answer is over. */
      reportEnd?: () => void;
    }
  }
}
