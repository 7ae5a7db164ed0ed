import { describe, expect, it } from 'vitest';
import { OwnerSearch, type ResourceOwners } from '../../src/services/relay.ts';
import type { ApiKey } from '../../src/shared/api-key.ts';
import { UpstreamError } from '../../src/shared/failure.ts';
import { Secret } from '../../src/shared/secret.ts';

const NAME = 'cachedContents/abc';
const keyOf = (project: string): ApiKey => ({
  id: project,
  provider: 'google',
  project,
  secret: new Secret(project, project),
});
const notMine = (words = 'not mine') =>
  new UpstreamError(
    { kind: 'request_fault', about: 'resource', message: words, status: 403 },
    { status: 403, type: 'application/json', body: words },
  );
const kindOf = (error: unknown) => (error as UpstreamError).failure;

const newOwners = (): ResourceOwners => new Map();

/** Asks project after project until none is left, or until the search stops; none owns the resource. */
function askAll(owners: ResourceOwners, projects: readonly string[]) {
  const search = new OwnerSearch(owners, [NAME]);
  const asked: string[] = [];
  for (const project of projects) {
    if (!search.accepts(keyOf(project))) continue;
    asked.push(project);
    const failure = kindOf(search.explain(keyOf(project), notMine(project)));
    if (failure.kind === 'request_fault') return { search, asked, isStopped: true };
  }
  return { search, asked, isStopped: false };
}

describe('the search for the owner of a resource', () => {
  const projects = Array.from({ length: 15 }, (_, index) => `p${index}`);

  it('asks ten projects at most, and the next request continues from there', () => {
    const owners = newOwners();
    const first = askAll(owners, projects);
    expect([first.asked, first.isStopped]).toEqual([projects.slice(0, 10), true]);
    const second = askAll(owners, projects);
    expect([second.asked, second.isStopped]).toEqual([projects.slice(10), false]);
  });

  it('keeps the refusal of the last project, and starts again after all were asked', () => {
    const owners = newOwners();
    const { search } = askAll(owners, ['a', 'b']);
    expect(search.giveUp()?.body).toBe('b');
    expect(askAll(owners, ['a', 'b']).asked).toEqual(['a', 'b']);
  });

  it('is over once the owner is known, until that project refuses too', () => {
    const owners = newOwners();
    new OwnerSearch(owners, [NAME]).found(keyOf('a'));
    const next = new OwnerSearch(owners, [NAME]);
    expect([next.accepts(keyOf('a')), next.accepts(keyOf('b'))]).toEqual([true, false]);
    expect(kindOf(next.explain(keyOf('a'), notMine())).kind).toBe('request_fault');
    expect(new OwnerSearch(owners, [NAME]).accepts(keyOf('b'))).toBe(true);
  });

  it('passes on every other error as it is', () => {
    const search = new OwnerSearch(newOwners(), [NAME]);
    const other = new UpstreamError({ kind: 'request_fault', message: 'bad', status: 400 });
    expect(search.explain(keyOf('a'), other)).toBe(other);
    expect(search.accepts(keyOf('a'))).toBe(true);
  });

  it('remembers ten thousand owners at most', () => {
    const owners = newOwners();
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
