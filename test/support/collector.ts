import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

/** One span as it came over the wire; times are milliseconds since the epoch. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first of its trace. */
  readonly parentId: string;
  readonly name: string;
  readonly kind: number;
  readonly start: number;
  readonly end: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** 2 for an error. */
  readonly status: number;
}

export interface Collector {
  readonly url: string;
  readonly spans: readonly ReceivedSpan[];
  /** Of the process that sent the last spans. */
  readonly resource: Readonly<Record<string, unknown>>;
  readonly headers: IncomingHttpHeaders;
  /** Every byte that came. */
  readonly bytes: () => string;
  readonly requests: () => number;
  /** A test may replace it. */
  answer: (response: ServerResponse) => void;
}

/** Receives spans by OTLP over HTTP, in protobuf, until the end of the test. */
export async function startCollector(): Promise<Collector> {
  const spans: ReceivedSpan[] = [];
  const bodies: Buffer[] = [];
  const collector = {
    url: '',
    spans,
    resource: {},
    headers: {} as IncomingHttpHeaders,
    bytes: () => Buffer.concat(bodies).toString('latin1'),
    requests: () => bodies.length,
    answer: (response: ServerResponse) => void response.end(),
  };
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    bodies.push(body);
    collector.headers = request.headers;
    for (const ofResource of messages(body, 1)) {
      collector.resource = attributesOf(messages(ofResource, 1)[0] ?? NOTHING, 1);
      for (const ofScope of messages(ofResource, 2)) {
        spans.push(...messages(ofScope, 2).map(toSpan));
      }
    }
    collector.answer(response);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  collector.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return collector;
}

const NOTHING = Buffer.alloc(0);

/** https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto */
const toSpan = (span: Buffer): ReceivedSpan => ({
  traceId: messages(span, 1)[0]?.toString('hex') ?? '',
  spanId: messages(span, 2)[0]?.toString('hex') ?? '',
  parentId: messages(span, 4)[0]?.toString('hex') ?? '',
  name: messages(span, 5)[0]?.toString() ?? '',
  kind: Number(numbers(span, 6)[0] ?? 0),
  start: Number((numbers(span, 7)[0] ?? 0n) / 1_000_000n),
  end: Number((numbers(span, 8)[0] ?? 0n) / 1_000_000n),
  attributes: attributesOf(span, 9),
  status: Number(numbers(messages(span, 15)[0] ?? NOTHING, 3)[0] ?? 0),
});

const attributesOf = (message: Buffer, field: number) =>
  Object.fromEntries(
    messages(message, field).map((pair) => [
      messages(pair, 1)[0]?.toString() ?? '',
      anyValueOf(messages(pair, 2)[0] ?? NOTHING),
    ]),
  );

function anyValueOf(value: Buffer): unknown {
  const [first] = fieldsOf(value);
  if (first === undefined) return '';
  const [field, found] = first;
  if (typeof found !== 'bigint') return found.toString();
  if (field === 2) return found === 1n;
  if (field === 3) return Number(found);
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(found);
  return bytes.readDoubleLE();
}

const messages = (message: Buffer, field: number): Buffer[] =>
  fieldsOf(message).flatMap(([of, value]) =>
    of === field && typeof value !== 'bigint' ? [value] : [],
  );

const numbers = (message: Buffer, field: number): bigint[] =>
  fieldsOf(message).flatMap(([of, value]) =>
    of === field && typeof value === 'bigint' ? [value] : [],
  );

/** https://protobuf.dev/programming-guides/encoding */
function fieldsOf(message: Buffer): [number, bigint | Buffer][] {
  const fields: [number, bigint | Buffer][] = [];
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = BigInt(message[at] ?? 0);
      at += 1;
      value |= (byte & 127n) << shift;
      if (byte < 128n) return value;
    }
  };
  const take = (length: number) => {
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const tag = varint();
    const type = Number(tag & 7n);
    const field = Number(tag >> 3n);
    if (type === 0) fields.push([field, varint()]);
    else if (type === 1) fields.push([field, take(8).readBigUInt64LE()]);
    else if (type === 5) fields.push([field, BigInt(take(4).readUInt32LE())]);
    else fields.push([field, take(Number(varint()))]);
  }
  return fields;
}
