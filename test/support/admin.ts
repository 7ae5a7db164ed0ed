import type { App } from './start-app.ts';

export const ADMIN_TOKEN = 'admin-token-0123456789';
export const AS_ADMIN = { authorization: `Bearer ${ADMIN_TOKEN}` };

/** @returns the cookie that a browser would send from now on */
export async function logIn(app: App, name?: string): Promise<{ readonly cookie: string }> {
  const { status, headers, text } = await app.post('/api/login', { token: ADMIN_TOKEN, name });
  if (status !== 200) throw new Error(text);
  return { cookie: (headers.get('set-cookie') ?? '').split(';', 1)[0] ?? '' };
}
