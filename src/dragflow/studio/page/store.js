// What survives a reload: the picture, what was made of it, and the results, in the browser's own storage.

const [NAME, TABLE, KEY] = ["dragflow", "work", "last"];

/** @returns {Promise<IDBDatabase>} */
function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(TABLE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @param {IDBTransactionMode} mode @param {(table: IDBObjectStore) => IDBRequest} act @returns {Promise<any>} */
async function within(mode, act) {
  const database = await opened();
  return new Promise((resolve, reject) => {
    const request = act(database.transaction(TABLE, mode).objectStore(TABLE));
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  }).finally(() => database.close());
}

/** @param {unknown} work */
export function save(work) {
  return within("readwrite", (table) => table.put(work, KEY));
}

export function restore() {
  return within("readonly", (table) => table.get(KEY));
}
