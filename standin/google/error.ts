import type { QuotaWindows } from '../quota-window.ts';
import { jsonReply, type Reply } from '../reply.ts';

/** What a refusal may need to know of the call. */
export interface GoogleCallFacts {
  readonly key: string;
  /** Empty when the call names none. */
  readonly model: string;
  readonly version: string;
  /** `generateContent` and the like; for a listing `listModels`. */
  readonly method: string;
  readonly now: number;
  readonly windows: QuotaWindows;
}

export interface GoogleErrorBody {
  readonly error: {
    readonly code: number;
    readonly message: string;
    readonly status: string;
    readonly details?: readonly Detail[];
  };
}

export type Detail = Readonly<Record<string, unknown>>;

/** @returns Google's error body under the same HTTP status. */
export const googleError = (
  code: number,
  status: string,
  message: string,
  details?: readonly Detail[],
): Reply => jsonReply(code, googleErrorBody(code, status, message, details));

const googleErrorBody = (
  code: number,
  status: string,
  message: string,
  details?: readonly Detail[],
): GoogleErrorBody => ({
  error: { code, message, status, ...(details === undefined ? {} : { details }) },
});

export const errorInfo = (reason: string, metadata: Readonly<Record<string, string>>): Detail => ({
  '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
  reason,
  domain: 'googleapis.com',
  metadata: { service: GOOGLE_API, ...metadata },
});

export const localized = (message: string): Detail => ({
  '@type': 'type.googleapis.com/google.rpc.LocalizedMessage',
  locale: 'en-US',
  message,
});

export const help = (description: string, url: string): Detail => ({
  '@type': 'type.googleapis.com/google.rpc.Help',
  links: [{ description, url }],
});

export const retryInfo = (retryDelay: string): Detail => ({
  '@type': 'type.googleapis.com/google.rpc.RetryInfo',
  retryDelay,
});

export const GOOGLE_API = 'generativelanguage.googleapis.com';
/** The consumer that every error names, whichever key it is about. */
export const CONSUMER = 'projects/100000000001';

/** The RPC behind a REST method, as error metadata spells it. */
export const rpcName = ({ version, method }: GoogleCallFacts) =>
  `google.ai.generativelanguage.${version}.GenerativeService.${method.replace(/^./, (first) => first.toUpperCase())}`;
