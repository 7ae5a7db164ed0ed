import { isJsonObject, type JsonObject } from '../../shared/json.ts';

/** Whether it is worth reading a body: most name none of these. */
const HINTS = ['cachedContent', 'cached_content', 'fileUri', 'file_uri'].map((hint) =>
  Buffer.from(hint),
);

const MAX_RESOURCES = 20;
const CACHED_CONTENT = /^cachedContents\/[\w-]+$/;
/** As the file's name or its address; what lives elsewhere belongs to nobody's project. */
const FILE = /^(?:https:\/\/[^/]+\/v\w+\/)?(files\/[\w-]+)$/;

/** The cached contents and uploaded files that a request names, where Google looks for them. */
export function resourcesIn(body: Buffer): readonly string[] {
  if (!HINTS.some((hint) => body.includes(hint))) return [];
  const whole = asObject(parse(body.toString()));
  const counted = asObject(whole.generateContentRequest ?? whole.generate_content_request);
  const found = [whole, counted].flatMap((request) => [
    ...cachedContentIn(request),
    ...contentsOf(request).flatMap(filesIn),
  ]);
  return [...new Set(found)].slice(0, MAX_RESOURCES);
}

/** What is no JSON is Google's to refuse. */
export function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
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
  systemInstruction,
  system_instruction: snakeCase,
}: JsonObject): readonly unknown[] => [...asList(contents), systemInstruction ?? snakeCase];

const filesIn = (content: unknown): string[] =>
  asList(asObject(content).parts).flatMap((part) => {
    const { fileData, file_data: snakeCase } = asObject(part);
    const { fileUri, file_uri: uri } = asObject(fileData ?? snakeCase);
    return matchIn(FILE, fileUri ?? uri)?.slice(1, 2) ?? [];
  });
