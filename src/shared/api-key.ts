import type { Secret } from './secret.ts';

export type Service = 'google' | 'anam';

/** The services in the order in which they are listed everywhere. */
export const SERVICES = ['google', 'anam'] as const satisfies readonly Service[];

/** One API key of one service, known everywhere by its id and never by its text. */
export interface ApiKey {
  /** `google-2`, from `GOOGLE_API_KEY_2`; the unnumbered one is `google`. */
  readonly id: string;
  readonly service: Service;
  /** The quota owner. Keys with one project share a quota; a key without a label is its own project. */
  readonly project: string;
  readonly secret: Secret;
  /** Anam only: the saved persona of this key's own account. */
  readonly personaId?: string;
}

/** Who the avatar is: a persona saved in Anam's account, or a whole configuration of one. */
export type Persona =
  | { readonly personaId: string }
  | { readonly config: Readonly<Record<string, unknown>> };
