/** Whether it is worth reading a body: most name none of these. */
const HINTS = ['cachedContent', 'cached_content', 'fileUri', 'file_uri'].map((hint) =>
  Buffer.from(hint),
);

const MAX_RESOURCES = 20;
const CACHED_CONTENT = /^cachedContents\/[\w-]+$/;
/** As the file's name or its address; what lives elsewhere belongs to nobody's project. */
const FILE = /^(?:https:\/\/[^/]+\/v\w+\/)?(files\/[\w-]+)$/;

/** The cached contents and uploaded files that a request names, wherever it names them. */
export function resourcesIn(body: Buffer): readonly string[] {
  if (!HINTS.some((hint) => body.includes(hint))) return [];
  const found = new Set<string>();
  collect(parse(body), found);
  return [...found].slice(0, MAX_RESOURCES);
}

/** What is no JSON is Google's to refuse. */
function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return null;
  }
}

/** Without recursion: a body may nest deeper than our stack. */
function collect(body: unknown, found: Set<string>): void {
  const waiting = [body];
  while (waiting.length > 0) {
    const value = waiting.pop();
    if (typeof value !== 'object' || value === null) continue;
    for (const [name, part] of Object.entries(value)) {
      if (typeof part === 'string') addResource(name, part, found);
      else waiting.push(part);
    }
  }
}

function addResource(field: string, value: string, found: Set<string>): void {
  if (/^cached_?content$/i.test(field) && CACHED_CONTENT.test(value)) found.add(value);
  const file = /^file_?uri$/i.test(field) ? FILE.exec(value)?.[1] : undefined;
  if (file !== undefined) found.add(file);
}
