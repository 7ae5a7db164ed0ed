/** Who the avatar is: a persona saved in Anam's account, or a whole configuration of one. */
export type Persona =
  | { readonly personaId: string }
  | { readonly config: Readonly<Record<string, unknown>> };
