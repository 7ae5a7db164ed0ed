const LOADED_BY_HTML = /<(?:link|script|img)\b[^>]*?\b(?:src|href)="(\/[^"]+)"/g;
const LOADED_BY_STYLES = /@import url\("([^"]+\.css)"\)/g;
const LOADED_BY_SCRIPT = /\b(?:from|import)\s*["']((?:\.{0,2}\/)[^"']+\.js)["']/g;

/**
 * Loads a page and everything that it loads, and what loads that.
 *
 * @returns the status of each address, by its path
 */
export async function loadPage(
  page: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<ReadonlyMap<string, number>> {
  const statuses = new Map<string, number>();
  const load = async (url: URL): Promise<void> => {
    if (statuses.has(url.pathname)) return;
    statuses.set(url.pathname, 0);
    const response = await fetch(url, { headers, redirect: 'manual' });
    statuses.set(url.pathname, response.status);
    const type = response.headers.get('content-type') ?? '';
    const text = await response.text();
    await Promise.all(loadedBy(type, text).map((reference) => load(new URL(reference, url))));
  };
  await load(new URL(page));
  return statuses;
}

function loadedBy(type: string, text: string): readonly string[] {
  const pattern = patternFor(type);
  if (pattern === null) return [];
  return [...text.matchAll(pattern)].map(([, reference = '']) => reference);
}

function patternFor(type: string): RegExp | null {
  if (type.startsWith('text/html')) return LOADED_BY_HTML;
  if (type.startsWith('text/css')) return LOADED_BY_STYLES;
  return type.startsWith('text/javascript') ? LOADED_BY_SCRIPT : null;
}
