import { describe, expect, it } from 'vitest';
import { ClockOffset } from '../../src/sharing/redis-connection.ts';

describe('the offset of two clocks', () => {
  it('is that of the fastest of the last answers', () => {
    const offset = new ClockOffset();
    expect(offset.ms).toBe(0);
    offset.add({ sentAt: 1000, answeredAt: 1100, time: 3080 });
    expect(offset.ms).toBe(2030);
    offset.add({ sentAt: 2000, answeredAt: 2002, time: 4001 });
    expect(offset.ms).toBe(2000);
    offset.add({ sentAt: 3000, answeredAt: 3500, time: 5400 });
    expect(offset.ms).toBe(2000);
  });

  it('is the new one at once when a clock was set', () => {
    const offset = new ClockOffset();
    offset.add({ sentAt: 2000, answeredAt: 2002, time: 4001 });
    offset.add({ sentAt: 4000, answeredAt: 4100, time: 1050 });
    expect(offset.ms).toBe(-3000);
  });
});
