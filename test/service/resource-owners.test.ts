import { describe, expect, it } from 'vitest';
import { OwnerSearch } from '../../src/service/resource-owners.ts';
import type { ApiKey } from '../../src/shared/api-key.ts';
import { type Failure, UpstreamError } from '../../src/shared/failure.ts';
import { Secret } from '../../src/shared/secret.ts';

const NAME = 'cachedContents/abc';
const keyOf = (project: string): ApiKey => ({
  id: project,
  service: 'google',
  project,
  secret: new Secret(project, project),
});
const notMine = (words = 'not mine') =>
  new UpstreamError(
    { kind: 'request_fault', message: words, status: 403 },
    { status: 403, type: 'application/json', body: words },
  );
const kindOf = (error: unknown) => (error as UpstreamError).failure;

describe('the search for who owns a resource', () => {
  it('goes on to other projects, keeps the last words, and asks ten at most', () => {
    const search = new OwnerSearch(new Map(), [NAME]);
    const kinds: Failure['kind'][] = [];
    for (let index = 0; index < 10; index += 1) {
      const key = keyOf(`p${index}`);
      expect(search.accepts(key)).toBe(true);
      kinds.push(kindOf(search.explain(key, notMine(`words ${index}`))).kind);
      expect(search.accepts(key)).toBe(false);
    }
    expect(kinds).toEqual([...Array(9).fill('model_unavailable'), 'request_fault']);
    expect(search.refusal?.body).toBe('words 9');
  });

  it('is over for good once the owner is known, until it is the owner no more', () => {
    const owners = new Map<string, string>();
    new OwnerSearch(owners, [NAME]).found(keyOf('a'));
    const next = new OwnerSearch(owners, [NAME]);
    expect([next.accepts(keyOf('a')), next.accepts(keyOf('b'))]).toEqual([true, false]);
    expect(kindOf(next.explain(keyOf('a'), notMine())).kind).toBe('request_fault');
    expect(new OwnerSearch(owners, [NAME]).accepts(keyOf('b'))).toBe(true);
  });

  it('leaves alone whatever else goes wrong', () => {
    const search = new OwnerSearch(new Map(), [NAME]);
    const other = new UpstreamError({ kind: 'request_fault', message: 'bad', status: 400 });
    for (const error of [other, new Error('a bug')]) {
      expect(search.explain(keyOf('a'), error)).toBe(error);
    }
    expect(search.accepts(keyOf('a'))).toBe(true);
  });

  it('remembers ten thousand at most', () => {
    const owners = new Map<string, string>();
    for (let index = 0; index <= 10_000; index += 1) {
      new OwnerSearch(owners, [`files/${index}`]).found(keyOf('a'));
    }
    expect([owners.size, owners.has('files/0'), owners.has('files/1')]).toEqual([
      10_000,
      false,
      true,
    ]);
  });
});
