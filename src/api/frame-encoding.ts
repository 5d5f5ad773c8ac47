/**
 * Bytes on the wire, made once and shared by every reader.
 *
 * A server's WebSocket frame carries no mask (RFC 6455 section 5.1), so the same bytes serve every socket.
 */
import type { StoredEvent } from '../store/port.ts';

/** How a reader takes events: as WebSocket text frames, or as Server-Sent Events. */
export type Encoding = 'websocket' | 'server-sent-events';

/** Encoded events, one after the other; `ends[i]` is where the i-th ends. */
export type EncodedEvents = { bytes: Buffer; ends: Uint32Array };

/** FIN and opcode 1: one text message in one frame. */
const TEXT_FRAME = 0x81;

function frameHeaderBytes(payloadBytes: number): number {
  if (payloadBytes < 126) return 2;
  return payloadBytes < 65_536 ? 4 : 10;
}

function writeFrameHeader(target: Buffer, offset: number, payloadBytes: number): number {
  target[offset] = TEXT_FRAME;
  if (payloadBytes < 126) {
    target[offset + 1] = payloadBytes;
    return offset + 2;
  }
  if (payloadBytes < 65_536) {
    target[offset + 1] = 126;
    return target.writeUInt16BE(payloadBytes, offset + 2);
  }
  target[offset + 1] = 127;
  target.writeUInt32BE(Math.floor(payloadBytes / 2 ** 32), offset + 2);
  return target.writeUInt32BE(payloadBytes % 2 ** 32, offset + 6);
}

/** One unmasked text frame. */
export function encodeTextFrame(text: string): Buffer {
  const payloadBytes = Buffer.byteLength(text);
  const frame = Buffer.allocUnsafe(frameHeaderBytes(payloadBytes) + payloadBytes);
  frame.write(text, writeFrameHeader(frame, 0, payloadBytes), 'utf8');
  return frame;
}

/** All of `events` in one buffer. */
export function encodeEvents(events: readonly StoredEvent[], encoding: Encoding): EncodedEvents {
  return encoding === 'websocket' ? encodeFrames(events) : encodeServerSentEvents(events);
}

function encodeFrames(events: readonly StoredEvent[]): EncodedEvents {
  return encodePlainFrames(events) ?? encodeAnyFrames(events);
}

/** Of the longest character in UTF-8. */
const CHARACTER_BYTES = 4;

/**
 * The frames of texts that hold ASCII alone, as most do: a byte for each character, so that nothing has to be measured
 * first, which takes three times as long. Null: at least one does not.
 */
function encodePlainFrames(events: readonly StoredEvent[]): EncodedEvents | null {
  const totalBytes = events.reduce(
    (sum, { json }) => sum + frameHeaderBytes(json.length) + json.length,
    0,
  );
  // With room for one more character: what is not ASCII writes more bytes than it has characters, and is not cut to fit.
  const bytes = Buffer.allocUnsafe(totalBytes + CHARACTER_BYTES);
  const ends = new Uint32Array(events.length);
  let offset = 0;
  for (const [index, { json }] of events.entries()) {
    offset = writeFrameHeader(bytes, offset, json.length);
    if (bytes.write(json, offset, 'utf8') !== json.length) return null;
    offset += json.length;
    ends[index] = offset;
  }
  return { bytes: bytes.subarray(0, totalBytes), ends };
}

function encodeAnyFrames(events: readonly StoredEvent[]): EncodedEvents {
  const payloadBytes = events.map((event) => Buffer.byteLength(event.json));
  const totalBytes = payloadBytes.reduce((sum, bytes) => sum + frameHeaderBytes(bytes) + bytes, 0);
  const bytes = Buffer.allocUnsafe(totalBytes);
  const ends = new Uint32Array(events.length);
  let offset = 0;
  for (const [index, event] of events.entries()) {
    offset = writeFrameHeader(bytes, offset, payloadBytes[index] ?? 0);
    offset += bytes.write(event.json, offset, 'utf8');
    ends[index] = offset;
  }
  return { bytes, ends };
}

function encodeServerSentEvents(events: readonly StoredEvent[]): EncodedEvents {
  const ends = new Uint32Array(events.length);
  const texts: string[] = [];
  let end = 0;
  for (const [index, event] of events.entries()) {
    // JSON text holds no line break outside of escapes, so one `data:` line is enough.
    const text = `id: ${event.seq}\nevent: ${event.type}\ndata: ${event.json}\n\n`;
    end += Buffer.byteLength(text);
    texts.push(text);
    ends[index] = end;
  }
  return { bytes: Buffer.from(texts.join(''), 'utf8'), ends };
}
