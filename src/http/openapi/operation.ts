import type { z } from 'zod';
import type { HeaderName } from './headers.ts';
import type { SecurityName } from './security.ts';

/** One way of asking for one path, as its document tells it. */
export interface Operation {
  readonly method: 'get' | 'post';
  /** A template: `/v1/models/{model}`. */
  readonly path: string;
  /** The name by which generated clients call it. */
  readonly id: string;
  readonly tag: TagName;
  readonly summary: string;
  /** Markdown. */
  readonly description?: string;
  readonly parameters?: readonly Parameter[];
  readonly body?: RequestBody;
  /** Refusals among them; those of one status are told together. */
  readonly answers: readonly Answer[];
  /** Each opens it by itself. Default: open to everybody. */
  readonly security?: readonly SecurityName[];
  /** Whether our own limit for one address counts its requests. Default: false. */
  readonly isLimited?: boolean;
}

export type TagName = keyof typeof TAGS;

export const TAGS = {
  Chat: 'For the frontend.',
  Avatar: 'For the page with the avatar.',
  Operation: 'For whoever runs this server, and for the platform.',
  'On call': 'For whoever looks after the keys, with `ADMIN_TOKEN`.',
  OpenAI: "OpenAI's protocol, for programs.",
  Gemini: "Gemini's own protocol, for programs. The request goes to Google as it comes.",
  Developers: 'This document.',
} as const;

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query';
  readonly description: string;
  readonly schema: z.ZodType;
  /** Only where there has to be one: the page would fill it in. */
  readonly example?: string;
}

export interface RequestBody {
  /** Exactly one of them fits. */
  readonly schemas: readonly z.ZodType[];
  readonly isRequired: boolean;
  /** Each is accepted by this very server, once a secret stands where one has to. */
  readonly examples: Examples;
}

export interface Answer {
  readonly status: number | 'default';
  /** Markdown. */
  readonly description: string;
  /** Besides `x-request-id`, which every answer has. */
  readonly headers?: readonly HeaderName[];
  /** Default: no body. */
  readonly content?: readonly Content[];
}

export interface Content {
  /** Without its charset. */
  readonly type: string;
  readonly schema: z.ZodType;
  readonly examples: Examples;
  /** Of a stream of events: what each holds, by its name; `message` is one without a name. */
  readonly events?: Readonly<Record<string, z.ZodType>>;
}

export type Examples = Readonly<
  Record<string, { readonly summary?: string; readonly value: unknown }>
>;
