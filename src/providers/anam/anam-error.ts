import { asObjects, asText, isJsonObject, type JsonObject, parseJson } from '../../shared/json.ts';
import { htmlToText, isHtml } from '../html-text.ts';

/** What Anam says of a refusal. */
export interface AnamError {
  /** The sentence under `error`, or under `message`, as some bodies have it. */
  readonly reason: string;
  /** The reason and, of a validation error, each fault as `path: message`. */
  readonly message: string;
  readonly isHtml: boolean;
  /** Whether the body is JSON, as Anam's API writes it. */
  readonly isAnams: boolean;
}

export function parseAnamError(body: string): AnamError {
  if (isHtml(body)) return notAnams(htmlToText(body), true);
  const json = parseJson(body);
  if (!isJsonObject(json)) return notAnams(body, false);
  const reason = readReason(json);
  const faults = asObjects(json.details).map(readFault).filter(isSaid);
  const message = [reason, ...faults].filter(isSaid).join('; ');
  return { reason, message, isHtml: false, isAnams: true };
}

function notAnams(message: string, isHtml: boolean): AnamError {
  return { reason: '', message, isHtml, isAnams: false };
}

function readReason({ error, message, summary }: JsonObject): string {
  const nested = isJsonObject(error) ? error.message : undefined;
  return [error, nested, message, summary].map(asText).find(isSaid) ?? '';
}

function readFault({ path, message }: JsonObject): string {
  const where = Array.isArray(path) ? path.filter(isStep).join('.') : asText(path);
  return [where, asText(message)].filter(isSaid).join(': ');
}

const isStep = (step: unknown) => typeof step === 'string' || typeof step === 'number';

const isSaid = (text: string) => text.trim() !== '';
