import { isObject, type JsonObject } from '../json.ts';
import type { Reply } from '../reply.ts';
import type { Content } from './content.ts';
import { googleError } from './error.ts';
import { complaintAboutFunctions, takesFunctionCalls } from './function-turns.ts';
import { type StoredResources, storedResources } from './stored-resources.ts';

/** What the stand-in reads of a request: enough for its quota and its answer. */
export interface GoogleRequest {
  /** Estimated: one for every four characters of text, rounded up. */
  readonly inputTokens: number;
  readonly lastUserText: string;
  readonly takesFunctionCalls: boolean;
  readonly resources: StoredResources;
}

/**
 * @param body Parsed; undefined when it was no JSON.
 * @returns the request, or Google's 400 for a body that it would not take.
 */
export function readGoogleRequest(body: unknown): GoogleRequest | Reply {
  if (!isObject(body)) return invalidJson('Unexpected token.');
  const unknownField = Object.keys(body).find((name) => !FIELDS.has(name));
  if (unknownField !== undefined) {
    return invalidJson(`Unknown name "${unknownField}": Cannot find field.`);
  }
  const malformed = complaintAbout(body.contents);
  if (malformed !== null) return invalidArgument(malformed);
  const contents = body.contents as readonly Content[];
  const complaint = complaintAboutFunctions(contents);
  return complaint === null ? measure(contents, body) : invalidArgument(complaint);
}

const CHARACTERS_PER_TOKEN = 4;
const ROLES: ReadonlySet<unknown> = new Set([undefined, 'user', 'model', 'function']);
/** Of GenerateContentRequest; snake case is taken too. Any other name is a 400. */
const FIELDS: ReadonlySet<string> = new Set(
  [
    'model contents tools toolConfig tool_config safetySettings safety_settings systemInstruction',
    'system_instruction generationConfig generation_config cachedContent cached_content',
    'serviceTier service_tier labels store',
  ].flatMap((line) => line.split(' ')),
);

function complaintAbout(contents: unknown): string | null {
  if (!Array.isArray(contents) || contents.length === 0) {
    return '* GenerateContentRequest.contents: contents is not specified\n';
  }
  for (const [index, content] of contents.entries()) {
    if (!isObject(content) || !hasParts(content.parts)) {
      return `* GenerateContentRequest.contents[${index}].parts: contents.parts must not be empty.\n`;
    }
    if (!ROLES.has(content.role)) return 'Please use a valid role: user, model.';
  }
  return null;
}

const hasParts = (parts: unknown) =>
  Array.isArray(parts) && parts.length > 0 && parts.every(isObject);

function measure(contents: readonly Content[], body: JsonObject): GoogleRequest {
  const { systemInstruction = body.system_instruction, tools } = body;
  const texts = contents.map(({ parts }) => textOf(parts));
  const lastUser = contents.findLastIndex(({ role }) => role !== 'model');
  const systemText = isObject(systemInstruction) ? textOf(systemInstruction.parts) : '';
  return {
    inputTokens: tokensOf(texts.join('').length + systemText.length),
    lastUserText: texts[lastUser] ?? '',
    takesFunctionCalls: takesFunctionCalls(tools, contents),
    resources: storedResources(body, contents),
  };
}

export const tokensOf = (characters: number) => Math.ceil(characters / CHARACTERS_PER_TOKEN);

function textOf(parts: unknown): string {
  if (!Array.isArray(parts)) return '';
  return parts.map((part: unknown) => (isObject(part) ? String(part.text ?? '') : '')).join('');
}

const invalidArgument = (message: string) => googleError(400, 'INVALID_ARGUMENT', message);

function invalidJson(complaint: string): Reply {
  const description = `Invalid JSON payload received. ${complaint}`;
  return googleError(400, 'INVALID_ARGUMENT', description, [
    { '@type': 'type.googleapis.com/google.rpc.BadRequest', fieldViolations: [{ description }] },
  ]);
}
