import type { MediaPart } from '../../shared/chat.ts';

const DATA_URL = /^data:([\w.+-]+\/[\w.+-]+)((?:;[\w.+-]+=[^;,]*)*);base64,/i;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

export const NOT_A_DATA_URL = 'Must be a data URL such as data:image/png;base64,iVBORw0KGgo=.';

/** @returns null for a text that is no data URL in base64, with its media type. */
export function readDataUrl(url: string): MediaPart | null {
  const head = DATA_URL.exec(url);
  const mediaType = head?.[1]?.toLowerCase();
  if (head === null || mediaType === undefined) return null;
  const data = url.slice(head[0].length);
  const isWhole = data.length % 4 === 0 || !data.endsWith('=');
  return isWhole && data.length % 4 !== 1 && BASE64.test(data)
    ? { kind: 'media', mediaType, data }
    : null;
}
