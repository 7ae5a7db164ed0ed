import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import type { Secret } from './secret.ts';

/** Encrypts texts. Only the same secret opens them, and only for the same place. */
export interface Sealer {
  /** @param place what the text belongs to, such as a collection and the name of a document */
  seal(text: string, ...place: readonly string[]): string;
  /** @throws SealError when it was sealed with another secret or for another place, or was changed */
  open(sealed: string, ...place: readonly string[]): string;
}

export class SealError extends Error {
  override readonly name = 'SealError';
}

/**
 * AES-256-GCM under a key that HKDF derives from the secret. A sealed text is `v1.` and base64url.
 *
 * @param secret a random text: a password would be found by trying
 * @param purpose texts of one purpose do not open for another
 */
export function createSealer(secret: Secret, purpose = 'documents'): Sealer {
  const info = `understudy ${purpose} v1`;
  const key = Buffer.from(hkdfSync('sha256', secret.reveal(), '', info, KEY_BYTES));
  return {
    seal(text, ...place) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, key, nonce).setAAD(bytesOf(place));
      const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
      return VERSION + Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64url');
    },
    open(sealed, ...place) {
      const bytes = Buffer.from(sealed.slice(VERSION.length), 'base64url');
      if (!sealed.startsWith(VERSION) || bytes.length < BODY) throw new SealError('no sealed text');
      const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, NONCE_BYTES));
      decipher.setAAD(bytesOf(place)).setAuthTag(bytes.subarray(NONCE_BYTES, BODY));
      try {
        return decipher.update(bytes.subarray(BODY), undefined, 'utf8') + decipher.final('utf8');
      } catch {
        throw new SealError('sealed with another secret or for another place');
      }
    },
  };
}

const VERSION = 'v1.';
const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const BODY = NONCE_BYTES + TAG_BYTES;

/** Unambiguous: no two places have the same bytes. */
const bytesOf = (place: readonly string[]) => Buffer.from(JSON.stringify(place));
