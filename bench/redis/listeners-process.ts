/**
 * Listeners, as many connections as instances would have: `listeners-process.ts PORT CHANNEL COUNT`.
 * Prints a line when all listen, and on SIGUSR2 how many messages have come to all of them together
 * and when the last one did, in milliseconds since the epoch.
 */
import { connect, type Socket } from 'node:net';

const [, , port = '', channel = '', count = '0'] = process.argv;
const SUBSCRIBE = `*2\r\n$9\r\nSUBSCRIBE\r\n$${channel.length}\r\n${channel}\r\n`;
const MESSAGE = '$7\r\nmessage\r\n';
let received = 0;
let lastAt = 0;

await Promise.all(Array.from({ length: Number(count) }, listen));
process.on('SIGUSR2', () => console.log(JSON.stringify({ received, lastAt })));
console.log('all listen');

function listen(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(Number(port), '127.0.0.1', () => socket.write(SUBSCRIBE));
    socket.once('error', reject);
    socket.once('data', () => {
      resolve();
      socket.on('data', receive);
    });
  });
}

/** The scripts' messages are small: whether one is split between two reads does not matter much here. */
function receive(part: Buffer): void {
  received += part.toString('latin1').split(MESSAGE).length - 1;
  lastAt = Date.now();
}
