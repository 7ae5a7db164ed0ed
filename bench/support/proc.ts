import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Of the kernel's process times, on every Linux that Node runs on. */
const MS_PER_TICK = 10;

/** User and system time, the 14th and 15th field: counted after the name, which may hold spaces. */
export function cpuMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK;
}

const RESIDENT_KB = /^VmRSS:\s+(\d+) kB$/m;

/** How much of the machine's memory the process holds, in MB. */
export function residentMbOf(pid: number): number {
  const [, kilobytes = ''] = RESIDENT_KB.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}

const OPEN_FILES = /^Max open files +\d+ +(\d+)/m;

/** How many files and connections a process may have open: Node takes the hard limit when it starts. */
export const openFilesLimit = (): number =>
  Number(OPEN_FILES.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]);

/** The ports of a TCP connection; a listening socket has no remote one, and any other kind none. */
export interface Socket {
  readonly localPort: number | null;
  readonly remotePort: number | null;
}

/** All its open sockets, listening ones and its own output included. */
export function socketsOf(pid: number): readonly Socket[] {
  const folder = `/proc/${pid}/fd`;
  const inodes = readdirSync(folder).flatMap((name) => socketAt(`${folder}/${name}`));
  const byInode = tcpSockets();
  return inodes.map((inode) => byInode.get(inode) ?? NO_TCP);
}

const NO_TCP: Socket = { localPort: null, remotePort: null };
const SOCKET = /^socket:\[(\d+)\]$/;

function socketAt(descriptor: string): string[] {
  try {
    const [, inode] = SOCKET.exec(readlinkSync(descriptor)) ?? [];
    return inode === undefined ? [] : [inode];
  } catch {
    return []; // closed since it was listed
  }
}

/** Every TCP socket of this machine by its inode, the tenth field. */
function tcpSockets(): ReadonlyMap<string, Socket> {
  const [, ...lines] = readFileSync('/proc/net/tcp', 'utf8').trim().split('\n');
  const rows = lines.map((line) => line.trim().split(/\s+/));
  return new Map(
    rows.map(([, local, remote, , , , , , , inode = '']) => [
      inode,
      { localPort: portOf(local), remotePort: portOf(remote) },
    ]),
  );
}

/** @param address `0100007F:1F90` */
function portOf(address = ''): number | null {
  const port = Number.parseInt(address.slice(address.indexOf(':') + 1), 16);
  return port > 0 ? port : null;
}
