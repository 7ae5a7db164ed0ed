import type { Secret } from './secret.ts';

/** `google`, `anam`: the ids of its keys begin with it. Public JSON, logs and metrics call it the service. */
export type ProviderName = string;

/** One API key of one provider, known everywhere by its id and never by its text. */
export interface ApiKey {
  /** `google-2`, from `GOOGLE_API_KEY_2`; the unnumbered one is `google`. */
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
