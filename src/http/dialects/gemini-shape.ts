import type { Request } from 'express';
import { z } from 'zod';
import { uploadedFile } from '../../services/relay.ts';
import { asObjects, asText, isJsonObject, type JsonObject, parseJson } from '../../shared/json.ts';
import { isTooDeep } from '../../shared/json-schema.ts';
import {
  FUNCTIONS,
  type InlineMedia,
  type RequestShape,
  shapeOf,
} from '../../shared/request-shape.ts';

const anything = z.unknown().optional();

const plainPart = z.strictObject({
  text: z.string().nullish(),
  thought: anything,
  thoughtsignature: anything,
  functioncall: z.strictObject({ id: anything, name: anything, args: anything }).nullish(),
  functionresponse: z.strictObject({ id: anything, name: anything, response: anything }).nullish(),
});

const plainContent = z.strictObject({
  role: anything,
  parts: z.array(plainPart).nullish(),
});

const plainEmbedding = z.strictObject({
  content: plainContent.nullish(),
  model: anything,
  outputdimensionality: anything,
  tasktype: anything,
  title: anything,
});

/** Text, generation settings and functions. */
const plainRequest = z.strictObject({
  contents: z.array(plainContent).nullish(),
  generationconfig: z
    .strictObject({
      candidatecount: anything,
      frequencypenalty: anything,
      maxoutputtokens: anything,
      presencepenalty: anything,
      responsemimetype: z.enum(['text/plain', 'application/json']).nullish(),
      seed: anything,
      stopsequences: anything,
      temperature: anything,
      thinkingconfig: anything,
      topk: anything,
      topp: anything,
    })
    .nullish(),
  model: anything,
  safetysettings: anything,
  systeminstruction: plainContent.nullish(),
  toolconfig: z.strictObject({ functioncallingconfig: anything }).nullish(),
  tools: z.array(z.strictObject({ functiondeclarations: anything })).nullish(),
});

const plainCall = plainRequest.extend({
  generatecontentrequest: plainRequest.nullish(),
  ...plainEmbedding.shape,
  requests: z.array(plainEmbedding).nullish(),
});

/** Features that are metered or refused apart. All else that is not plain is called `other`. */
const FEATURES: ReadonlyMap<string, string> = new Map([
  ['codeexecution', 'code_execution'],
  ['filedata', 'media'],
  ['googlemaps', 'maps'],
  ['googlesearch', 'search'],
  ['googlesearchretrieval', 'search'],
  ['inlinedata', 'media'],
  ['responsejsonschema', 'schema'],
  ['responseschema', 'schema'],
  ['urlcontext', 'url_context'],
]);
const OTHER = ['other'];

/** What is special about a call in Gemini's protocol: everything that is not known to be plain. It is read when asked for. */
export function shapeIn(request: Pick<Request, 'headers' | 'query'>, body: Buffer): RequestShape {
  const media = inlineDataIn(body);
  const mediaBytes = media.reduce((sum, { length }) => sum + length, 0);
  const readFeatures = () => featuresIn(request, body);
  return shapeOf(readFeatures, body.length - mediaBytes, media, () => embeddingsIn(body));
}

/** Google counts each text of a batch as one request (https://github.com/garrytan/gbrain/pull/1922). */
function embeddingsIn(body: Buffer): number {
  const { requests } = asObject(parseJson(body.toString()));
  return Array.isArray(requests) ? Math.max(1, requests.length) : 1;
}

function featuresIn(request: Pick<Request, 'headers' | 'query'>, body: Buffer): readonly string[] {
  if (!isOrdinary(request)) return OTHER;
  const text = body.toString();
  const value = parseJson(text);
  // In what is no JSON, a string may have no end, and the search for it would start at each quote.
  if (value === undefined) return OTHER;
  if (isTooDeep(value) || countFields(value) !== countWrittenFields(text)) return OTHER;
  const named = withPlainNames(value);
  return [...specialIn(named), ...(hasFunctions(named) ? [FUNCTIONS] : [])];
}

const JSON_TYPE = /^application\/json\b/i;
const ALT = /^(?:sse|json)$/;

function isOrdinary({ headers, query }: Pick<Request, 'headers' | 'query'>): boolean {
  const { alt = 'json', key: _, ...others } = query;
  const isJson = JSON_TYPE.test(headers['content-type'] ?? '');
  return isJson && ALT.test(String(alt)) && Object.keys(others).length === 0;
}

function specialIn(named: unknown): readonly string[] {
  const { error } = plainCall.safeParse(named);
  return (error?.issues ?? []).flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.flatMap((name) => FEATURES.get(name) ?? OTHER)
      : OTHER,
  );
}

const IS_OF_FUNCTIONS = /^function(?:call|callingconfig|declarations|response)$/;

function hasFunctions(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasFunctions);
  if (!isJsonObject(value)) return false;
  return Object.entries(value).some(
    ([name, part]) => IS_OF_FUNCTIONS.test(name) || hasFunctions(part),
  );
}

const DATA = Buffer.from('"data"');
const QUOTE = 34;
/** Shorter base64 text is not counted as media. */
const LEAST_DATA = 64;
/** In bytes: the media type stands close to the data. */
const NEAR = 200;

/** Found without parsing, since a body may have 20 MB. A media type that follows its data is not found. */
function inlineDataIn(body: Buffer): readonly InlineMedia[] {
  const found: InlineMedia[] = [];
  for (let at = body.indexOf(DATA); at >= 0; at = body.indexOf(DATA, at + 1)) {
    const begin = body.indexOf(QUOTE, at + DATA.length) + 1;
    const length = begin === 0 ? 0 : body.indexOf(QUOTE, begin) - begin;
    if (length < LEAST_DATA) continue;
    const before = body.toString('latin1', Math.max(0, at - NEAR), at);
    found.push({ mediaType: /image\//i.test(before) ? 'image/*' : '*/*', length });
    at = begin + length;
  }
  return found;
}

/** A JSON string; with a colon behind it, the name of a field. */
const QUOTED = /"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?/gs;

/** Of two fields with the same name, Google may read the other one: such a body is special. */
function countWrittenFields(text: string): number {
  let count = 0;
  for (const [, colon] of text.matchAll(QUOTED)) if (colon !== undefined) count += 1;
  return count;
}

function countFields(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const own = Array.isArray(value) ? 0 : Object.keys(value).length;
  return Object.values(value).reduce((sum: number, part) => sum + countFields(part), own);
}

/** Google reads a name in camel case and in snake case alike. */
function withPlainNames(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withPlainNames);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, part]) => [
      name.replaceAll('_', '').toLowerCase(),
      withPlainNames(part),
    ]),
  );
}

/** A body without these is not parsed. */
const HINTS = ['cachedContent', 'cached_content', 'fileUri', 'file_uri'].map((hint) =>
  Buffer.from(hint),
);

const MAX_RESOURCES = 20;
const CACHED_CONTENT = /^cachedContents\/[\w-]+$/;

/** The cached contents and uploaded files that a request names: only their own project can use them. */
export function resourcesIn(body: Buffer): readonly string[] {
  if (!HINTS.some((hint) => body.includes(hint))) return [];
  const whole = asObject(parseJson(body.toString()));
  const counted = asObject(whole.generateContentRequest ?? whole.generate_content_request);
  const found = [whole, counted, ...asObjects(whole.requests)].flatMap((request) => [
    ...cachedContentIn(request),
    ...contentsOf(request).flatMap(filesIn),
  ]);
  return [...new Set(found)].slice(0, MAX_RESOURCES);
}

const asObject = (value: unknown): JsonObject => (isJsonObject(value) ? value : {});

const asList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value]);

const matchIn = (pattern: RegExp, value: unknown) =>
  typeof value === 'string' ? pattern.exec(value) : null;

function cachedContentIn({ cachedContent, cached_content: snakeCase }: JsonObject): string[] {
  return matchIn(CACHED_CONTENT, cachedContent ?? snakeCase)?.slice(0, 1) ?? [];
}

const contentsOf = ({
  contents,
  content,
  systemInstruction,
  system_instruction: snakeCase,
}: JsonObject): readonly unknown[] => [
  ...asList(contents),
  content,
  systemInstruction ?? snakeCase,
];

const filesIn = (content: unknown): string[] =>
  asList(asObject(content).parts).flatMap((part) => {
    const { fileData, file_data: snakeCase } = asObject(part);
    const { fileUri, file_uri: uri } = asObject(fileData ?? snakeCase);
    return uploadedFile(asText(fileUri ?? uri)) ?? [];
  });
