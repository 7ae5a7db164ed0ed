import { z } from 'zod';
import type { MediaPart } from '../../shared/chat.ts';

/** Up to its comma. Longer heads are none: the expression would take too much of the stack for them. */
const MAX_HEAD = 1000;
const DATA_URL = /^data:([\w.+-]+\/[\w.+-]+)((?:;[\w.+-]+=[^;,]*)*);base64,$/i;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

export const NOT_A_DATA_URL = 'Must be a data URL such as data:image/png;base64,iVBORw0KGgo=.';

/** A data URL in base64 that names its media type: nothing else reaches the provider with the request. */
export const dataUrl = z.string().transform((url, context): MediaPart => {
  const media = readDataUrl(url);
  if (media !== null) return media;
  context.addIssue({ code: 'custom', message: NOT_A_DATA_URL });
  return z.NEVER;
});

/**
 * Many clients send `image/jpg`, which Google does not know: it becomes `image/jpeg`.
 *
 * @returns null for what is no such URL
 */
export function readDataUrl(url: unknown): MediaPart | null {
  if (typeof url !== 'string') return null;
  const head = url.slice(0, url.slice(0, MAX_HEAD).indexOf(',') + 1);
  const mediaType = DATA_URL.exec(head)?.[1]?.toLowerCase();
  if (mediaType === undefined) return null;
  const data = url.slice(head.length);
  const isWhole = data.length % 4 === 0 || !data.endsWith('=');
  return isWhole && data.length % 4 !== 1 && BASE64.test(data)
    ? { kind: 'media', mediaType: mediaType === 'image/jpg' ? 'image/jpeg' : mediaType, data }
    : null;
}
