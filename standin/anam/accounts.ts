import type { HeldKey } from '../key-ring.ts';
import type { QuotaWindows } from '../quota-window.ts';
import { AnamAccount } from './account.ts';

/** @returns the account of each key: keys of one project share theirs. */
export function createAccounts(keys: readonly HeldKey[], windows: QuotaWindows) {
  const accounts = new Map<string, AnamAccount>();
  for (const { project } of keys) {
    if (accounts.has(project)) continue;
    const id = accountId(accounts.size + 1);
    accounts.set(project, new AnamAccount(id, shapeOf(project, keys), windows));
  }
  return ({ project }: HeldKey): AnamAccount => {
    const account = accounts.get(project);
    if (account === undefined) throw new TypeError('A key that the stand-in was not given');
    return account;
  };
}

const shapeOf = (project: string, keys: readonly HeldKey[]) =>
  keys.find((key) => key.project === project && key.shape.account !== undefined)?.shape.account ??
  {};

/** Looks like Anam's, and says nothing of the key. */
const accountId = (number: number) => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
