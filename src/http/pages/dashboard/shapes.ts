// Temporary: until the real schemas are merged.
export interface Client {
  name: string;
  models: string[] | null;
  routes: string[] | null;
  requestsPerMinute: number | null;
  tokensPerMinute: number | null;
  requestsPerDay: number | null;
  tokensPerDay: number | null;
  weight: number;
  origin: 'environment' | 'added';
  createdAt: string | null;
  lastUsedAt: string | null;
  used: { requestsMinute: number; tokensMinute: number; requestsDay: number; tokensDay: number };
  refused: number;
}
export interface ClientList {
  storage: 'redis' | 'file' | 'memory';
  lasts: boolean;
  models: string[];
  clients: Client[];
}
