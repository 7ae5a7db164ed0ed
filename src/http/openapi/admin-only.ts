/** How whoever runs the server shows it, and how everybody else is refused. */
export const ADMIN_SECURITY = ['adminToken', 'adminCookie'] as const;

export const ADMIN_REFUSALS = [
  'admin_token_missing',
  'method_not_allowed',
  'too_many_guesses',
  'internal_error',
] as const;
