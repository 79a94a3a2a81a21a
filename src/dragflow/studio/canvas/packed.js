// Masks that nothing looks at just now: as run lengths, or as one bit a pixel where that is smaller.

/** @typedef {Uint32Array | Uint8Array} Packed run lengths, of zeros first, or bits */

/** @param {Uint8Array} data of 0 and 1 @returns {Packed} never more than a bit a pixel, rounded up to four bytes */
export function packed(data) {
  const most = Math.ceil(data.length / 32); // numbers of four bytes that take as much as bits
  const runs = [];
  for (let at = 0, value = 0; at < data.length; value = 1 - value) {
    const next = data.indexOf(1 - value, at);
    const end = next < 0 ? data.length : next;
    runs.push(end - at);
    at = end;
    if (runs.length > most) return bits(data);
  }
  return Uint32Array.from(runs);
}

/** @param {Packed} small @param {number} length in pixels */
export function unpacked(small, length) {
  const data = new Uint8Array(length);
  if (small instanceof Uint8Array) {
    for (let i = 0; i < length; i++) data[i] = (small[i >> 3] >> (i & 7)) & 1;
    return data;
  }
  let at = 0;
  small.forEach((run, i) => {
    if (i % 2) data.fill(1, at, at + run);
    at += run;
  });
  return data;
}

/** @param {Uint8Array} data */
function bits(data) {
  const small = new Uint8Array(Math.ceil(data.length / 8));
  for (let i = 0; i < data.length; i++) small[i >> 3] |= data[i] << (i & 7);
  return small;
}
