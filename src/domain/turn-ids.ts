/**
 * Ids that follow from a request alone.
 *
 * A Workflow Task may be carried out twice: its worker is killed after local activities have committed and before the task
 * was completed. The second time more events have come, and in the same task signals go before ends of activities: other
 * commands are decided first. Ids by the order of decisions (`uuid4()` of the workflow) then name two turns alike. Ids by
 * request cannot.
 *
 * No cryptography here (workflow sandbox): `salt` is a UUID that no client knows, so none can aim at another's id.
 */

/** The turn that a send begins: 128 bits of all three, as `t` and 32 hexadecimal digits. */
export function turnIdOf(request: {
  salt: string;
  conversationId: string;
  requestId: string;
}): string {
  return `t${hash128(`${request.salt}\n${request.conversationId}\n${request.requestId}`)}`;
}

/** The message that holds a turn's prompt. */
export function promptMessageId(turnId: string): string {
  return `m${turnId.slice(1)}`;
}

/** 32 hexadecimal digits that follow from the text. Four lanes of multiply and xor over the code units, mixed at the end (cyrb128). */
export function hash128(text: string): string {
  let [a, b, c, d] = [0x6b_2d_a5_97, 0xb2_8e_ab_1d, 0xa0_50_70_cd, 0x5f_8d_2f_3b];
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    a = b ^ Math.imul(a ^ unit, 597_399_067);
    b = c ^ Math.imul(b ^ unit, 2_869_860_233);
    c = d ^ Math.imul(c ^ unit, 951_274_213);
    d = a ^ Math.imul(d ^ unit, 2_716_044_179);
  }
  a = Math.imul(c ^ (a >>> 18), 597_399_067);
  b = Math.imul(d ^ (b >>> 22), 2_869_860_233);
  c = Math.imul(a ^ (c >>> 17), 951_274_213);
  d = Math.imul(b ^ (d >>> 19), 2_716_044_179);
  a ^= b ^ c ^ d;
  const words = [a, b ^ a, c ^ a, d ^ a];
  return words.map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
}
