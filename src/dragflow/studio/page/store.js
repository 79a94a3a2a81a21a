// What survives a reload, in the browser's own storage: pictures, what was made of them, and results. Each file is written once.

const [NAME, VERSION] = ["dragflow", 2];
const [WORK, FILES, KEY] = ["work", "files", "last"];
/** Name of the one property of what stands for a file in the stored work. */
const FILE = "stored-file";

/** Under which keys files of this page are stored. @type {WeakMap<Blob, string>} */
const keys = new WeakMap();

/** Store the work, and of its files those that are not stored yet; others are dropped. @param {unknown} work */
export async function save(work) {
  /** @type {Map<IDBValidKey, Blob>} */
  const used = new Map();
  const plain = mapped(work, (value) => {
    if (!(value instanceof Blob)) return undefined;
    const key = keys.get(value) ?? `${Date.now()}-${Math.random()}`;
    keys.set(value, key);
    used.set(key, value);
    return { [FILE]: key };
  });
  await within("readwrite", (transaction) => {
    const files = transaction.objectStore(FILES);
    // Asked each time: another tab may have dropped them.
    const there = files.getAllKeys();
    there.onsuccess = () => {
      const stored = new Set(there.result);
      for (const [key, file] of used) if (!stored.has(key)) files.put(file, key);
      for (const key of stored) if (!used.has(key)) files.delete(key);
      transaction.objectStore(WORK).put(plain, KEY);
    };
  });
}

/** The stored work; undefined where there is none. Earlier versions stored files inside of it. @returns {Promise<any>} */
export async function restore() {
  /** @type {Map<IDBValidKey, Blob>} */
  const files = new Map();
  /** @type {any} */
  let plain;
  await within("readonly", (transaction) => {
    const work = transaction.objectStore(WORK).get(KEY);
    work.onsuccess = () => (plain = work.result);
    const cursor = transaction.objectStore(FILES).openCursor();
    cursor.onsuccess = () => {
      if (!cursor.result) return;
      files.set(cursor.result.key, cursor.result.value);
      cursor.result.continue();
    };
  });
  return mapped(plain, (value) => {
    const key = value?.[FILE];
    const file = key && files.get(key);
    if (file) keys.set(file, key);
    return file;
  });
}

/** A copy of plain data in which some values are others. @param {any} value @param {(value: any) => unknown} other undefined: as it is @returns {any} */
function mapped(value, other) {
  const found = other(value);
  if (found !== undefined) return found;
  if (Array.isArray(value)) return value.map((one) => mapped(one, other));
  if (value === null || typeof value !== "object" || value instanceof Blob) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, mapped(one, other)]));
}

/** @param {IDBTransactionMode} mode @param {(transaction: IDBTransaction) => void} act @returns {Promise<void>} */
async function within(mode, act) {
  const database = await connected();
  return /** @type {Promise<void>} */ (
    new Promise((resolve, reject) => {
      const transaction = database.transaction([WORK, FILES], mode);
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
      act(transaction);
    })
  ).finally(() => database.close());
}

/** @returns {Promise<IDBDatabase>} */
function connected() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      const { result } = request;
      for (const table of [WORK, FILES]) if (!result.objectStoreNames.contains(table)) result.createObjectStore(table);
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
