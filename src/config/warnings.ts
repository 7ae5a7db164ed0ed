interface OriginSettings {
  readonly isProduction: boolean;
  readonly corsOrigins: 'localhost' | readonly string[];
}

/** Pages of other origins are let in nowhere by default in production, which looks like a broken server. */
export function originWarnings({ isProduction, corsOrigins }: OriginSettings): readonly string[] {
  if (!isProduction || corsOrigins.length > 0) return [];
  return ["CORS_ORIGINS is not set: only pages of this server's own origin may call it."];
}
