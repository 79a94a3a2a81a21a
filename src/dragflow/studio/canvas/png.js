// Pictures as files, and files as text.

/** The text of a file in base64. @param {Blob} file @returns {Promise<string>} */
export function toBase64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, "")); // a data: address
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

/** The file of a PNG in base64. @param {string} text */
export function fromBase64(text) {
  return new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], { type: "image/png" });
}

/** The pixels of a file as they are in it, whatever its colour profile says. @param {Blob} file */
export function opened(file) {
  return createImageBitmap(file, { colorSpaceConversion: "none" });
}
