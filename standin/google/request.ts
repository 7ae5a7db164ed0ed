import { asObjects, asText, isJsonObject, type JsonObject } from '../../src/shared/json.ts';
import type { KnownKey } from '../provider.ts';
import type { Reply } from '../reply.ts';
import type { Asked } from '../standin-key.ts';
import { CACHED_CONTENT_GONE, fileGone, googleError } from './refusals.ts';

/** What the stand-in reads of a request: enough for its quota and its answer. */
export interface GoogleRequest extends Asked {
  /** Estimated: one for every four characters of text, rounded up. */
  readonly inputTokens: number;
  /** Functions are offered, and the last content is not the result of one. */
  readonly takesFunctionCalls: boolean;
  readonly usesSearch: boolean;
  readonly includesThoughts: boolean;
}

/**
 * @param body Parsed; undefined when it was no JSON.
 * @returns the request, or the refusal of a body that Google would not take from this key
 */
export type RequestReader = (body: unknown, key: KnownKey) => GoogleRequest | Reply;

export function createRequestReader(keys: readonly KnownKey[]): RequestReader {
  const stored = storedByProject(keys);
  return (body, { project }) => {
    if (!isJsonObject(body)) return invalidJson('Unexpected token.');
    const unknownField = Object.keys(body).find((name) => !FIELDS.has(name));
    if (unknownField !== undefined) {
      return invalidJson(`Unknown name "${unknownField}": Cannot find field.`);
    }
    const malformed = complaintAbout(body.contents);
    if (malformed !== null) return googleError(400, malformed);
    const contents = body.contents as readonly Content[];
    const complaint = complaintAboutNames(body.tools) ?? complaintAboutFunctions(contents);
    if (complaint !== null) return googleError(400, complaint);
    return refuseForeign(body, contents, stored.get(project)) ?? measure(body, contents);
  };
}

export const tokensOf = (characters: number) => Math.ceil(characters / CHARACTERS_PER_TOKEN);

/** One turn of a conversation. */
interface Content {
  readonly role?: string;
  readonly parts: readonly JsonObject[];
}

const CHARACTERS_PER_TOKEN = 4;
const ROLES: ReadonlySet<unknown> = new Set([undefined, 'user', 'model', 'function']);
/** Of GenerateContentRequest; any other name is a 400. */
const FIELDS: ReadonlySet<string> = new Set(
  [
    'model contents tools toolConfig safetySettings systemInstruction generationConfig',
    'cachedContent serviceTier labels store',
  ].flatMap((line) => line.split(' ').flatMap((name) => [name, snakeCase(name)])),
);

const functionCallOf = field('functionCall');
const functionResponseOf = field('functionResponse');
const signatureOf = field('thoughtSignature');
const fileDataOf = field('fileData');
const fileUriOf = field('fileUri');
const cachedContentOf = field('cachedContent');
const systemInstructionOf = field('systemInstruction');
const functionDeclarationsOf = field('functionDeclarations');
const generationConfigOf = field('generationConfig');
const thinkingConfigOf = field('thinkingConfig');
const includeThoughtsOf = field('includeThoughts');
const searchOf = field('googleSearch');
const olderSearchOf = field('googleSearchRetrieval');

/** @returns a reader of this field, which Google takes in snake case too. */
function field(name: string): (from: JsonObject) => unknown {
  const snake = snakeCase(name);
  return (from) => from[name] ?? from[snake];
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function complaintAbout(contents: unknown): string | null {
  if (!Array.isArray(contents) || contents.length === 0) {
    return '* GenerateContentRequest.contents: contents is not specified\n';
  }
  for (const [index, content] of contents.entries()) {
    if (!isJsonObject(content) || !hasParts(content.parts)) {
      return `* GenerateContentRequest.contents[${index}].parts: contents.parts must not be empty.\n`;
    }
    if (!ROLES.has(content.role)) return 'Please use a valid role: user, model.';
  }
  return null;
}

const hasParts = (parts: unknown) =>
  Array.isArray(parts) && parts.length > 0 && parts.every(isJsonObject);

const VALID_NAME = /^[A-Za-z_][\w.:-]{0,63}$/;

function complaintAboutNames(tools: unknown): string | null {
  const declared = asObjects(tools).flatMap((tool) => asObjects(functionDeclarationsOf(tool)));
  const index = declared.findIndex(({ name }) => !VALID_NAME.test(asText(name)));
  if (index < 0) return null;
  return `* GenerateContentRequest.tools[0].function_declarations[${index}].name: Invalid function name. Must start with a letter or an underscore. Must be alphanumeric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64.\n`;
}

/** @returns what Gemini 3 refuses about a conversation's function calls and their results */
function complaintAboutFunctions(contents: readonly Content[]): string | null {
  if (contents.some(isUnsigned)) {
    return 'Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and missing thought_signature may lead to degraded model performance.';
  }
  const called = new Set<unknown>();
  for (const part of contents.flatMap(({ parts }) => parts)) {
    const call = functionCallOf(part);
    if (isJsonObject(call) && asText(call.name) !== '') called.add(call.name);
    const result = functionResponseOf(part);
    if (isJsonObject(result) && !called.has(result.name)) {
      return 'Please ensure that function response turn comes immediately after a function call turn.';
    }
  }
  return null;
}

/** Parallel calls share the signature of the first. */
function isUnsigned({ role, parts }: Content): boolean {
  const first = parts.find((part) => isJsonObject(functionCallOf(part)));
  return role === 'model' && first !== undefined && asText(signatureOf(first)) === '';
}

/** What one key of a project stores, all keys of the project may use. */
function storedByProject(keys: readonly KnownKey[]): ReadonlyMap<string, ReadonlySet<string>> {
  const stored = new Map<string, Set<string>>();
  for (const { project, shape } of keys) {
    stored.set(project, new Set([...(stored.get(project) ?? []), ...(shape.resources ?? [])]));
  }
  return stored;
}

/** Cached contents and files can be used only in the project that stores them. */
function refuseForeign(
  body: JsonObject,
  contents: readonly Content[],
  stored: ReadonlySet<string> = new Set(),
): Reply | null {
  const cachedContent = asText(cachedContentOf(body));
  if (cachedContent !== '' && !stored.has(cachedContent)) return CACHED_CONTENT_GONE;
  const files = contents.flatMap(({ parts }) => parts.flatMap(storedFile));
  const foreign = files.find((name) => !stored.has(name));
  return foreign === undefined ? null : fileGone(foreign);
}

const STORED_FILE = /(?:^|\/v1\w*\/)(files\/[^/?#:]+)/;

/** Such as `files/xyz`; none for media that Google does not store, such as a video's address. */
function storedFile(part: JsonObject): string[] {
  const fileData = fileDataOf(part);
  const name = isJsonObject(fileData)
    ? STORED_FILE.exec(String(fileUriOf(fileData)))?.[1]
    : undefined;
  return name === undefined ? [] : [name];
}

function measure(body: JsonObject, contents: readonly Content[]): GoogleRequest {
  const texts = contents.map(({ parts }) => textOf(parts));
  const lastUser = contents.findLastIndex(({ role }) => role !== 'model');
  const system = systemInstructionOf(body);
  const systemText = isJsonObject(system) ? textOf(system.parts) : '';
  const tools = asObjects(body.tools);
  const functions = tools
    .flatMap((tool) => asObjects(functionDeclarationsOf(tool)))
    .map(({ name }) => asText(name));
  return {
    inputTokens: tokensOf(texts.join('').length + systemText.length),
    lastUserText: texts[lastUser] ?? '',
    functions,
    takesFunctionCalls:
      functions.length > 0 &&
      contents.at(-1)?.parts.some((part) => isJsonObject(functionResponseOf(part))) === false,
    usesSearch: tools.some((tool) => (searchOf(tool) ?? olderSearchOf(tool)) !== undefined),
    includesThoughts: thoughtsAreIncluded(body),
  };
}

function thoughtsAreIncluded(body: JsonObject): boolean {
  const config = generationConfigOf(body);
  const thinking = isJsonObject(config) ? thinkingConfigOf(config) : null;
  return isJsonObject(thinking) && includeThoughtsOf(thinking) === true;
}

function textOf(parts: unknown): string {
  return asObjects(parts)
    .map(({ text }) => String(text ?? ''))
    .join('');
}

export function invalidJson(complaint: string): Reply {
  const description = `Invalid JSON payload received. ${complaint}`;
  return googleError(400, description, [
    { '@type': 'type.googleapis.com/google.rpc.BadRequest', fieldViolations: [{ description }] },
  ]);
}
