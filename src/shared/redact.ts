import type { Secret } from './secret.ts';

/** Replaces every key's text, and whatever looks like one, by a placeholder. */
export type Redact = (text: string) => string;

/** Google's two key shapes and bearer credentials: a provider may echo a key that is not one of ours. */
const LOOKS_LIKE_A_KEY = /AIza[\w-]{20,}|\bAQ\.[\w-]{16,}|(?<=\bBearer\s{1,4})[\w.~+/-]{12,}=*/gi;
const REDACTED = '[redacted]';

export function createRedact(secrets: Iterable<Secret>): Redact {
  const texts = [...secrets].map((secret) => secret.reveal()).sort((a, b) => b.length - a.length);
  const ours = texts.length === 0 ? null : new RegExp(texts.map(escapeForRegExp).join('|'), 'g');
  return (text) => {
    const withoutOurs = ours === null ? text : text.replace(ours, REDACTED);
    return withoutOurs.replace(LOOKS_LIKE_A_KEY, REDACTED);
  };
}

const escapeForRegExp = (text: string) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
