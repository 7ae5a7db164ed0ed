import type { Secret } from './secret.ts';

/** `google`, `anam`: the ids of its keys begin with it. Public JSON, logs and metrics call it the service. */
export type ProviderName = string;

/** One API key of one provider, known everywhere by its id and never by its text. */
export interface ApiKey {
  /** `google-2`, from `GOOGLE_API_KEY_2`; the unnumbered one is `google`; `google-r1` was added at run time. */
  readonly id: string;
  readonly provider: ProviderName;
  /** The quota owner. Keys with one project share a quota; a key without a label is its own project. */
  readonly project: string;
  readonly secret: Secret;
  /** The billing account of the project, where one is named: projects with one account run out of credit together. */
  readonly billing?: string;
  /** Anam only: the saved persona of this key's own account. */
  readonly personaId?: string;
}

/** Who the avatar is: a persona saved in Anam's account, or a whole configuration of one. */
export type Persona =
  | { readonly personaId: string }
  | { readonly config: Readonly<Record<string, unknown>> };

/** Where a key comes from: a variable, a file, or the operator at run time. */
export const KEY_ORIGINS = ['environment', 'file', 'added'] as const;

/** One key that the server has, in use or not. */
export interface KnownKey {
  readonly key: ApiKey;
  readonly origin: (typeof KEY_ORIGINS)[number];
  /** Only a key of a variable or a file can be `retired`: a key that was added is removed instead. */
  readonly use: 'used' | 'paused' | 'retired';
  /** The last change of the key; null for none. */
  readonly lastChange: KeyChangeNote | null;
}

export const KEY_CHANGES = ['add', 'label', 'replace', 'pause', 'resume', 'retire'] as const;

/** Who changed a key, and why. */
export interface KeyChangeNote {
  readonly action: (typeof KEY_CHANGES)[number];
  readonly who: string | null;
  readonly why: string | null;
  /** ISO time. */
  readonly at: string;
}

/** Every key that the server has. */
export interface KnownKeys {
  /** In the order of the settings, then of their addition. */
  all(): Iterable<KnownKey>;
  get(id: string): KnownKey | undefined;
}
